import { bind1, isInexact, type NDArray, scalar } from "@traceform/core";
import {
  bitcastConvertTypeP,
  complex,
  complexP,
  conj,
  conjP,
  convertElementTypeP,
  convertElementTypeWeak,
  imag,
  imagP,
  neg,
  real,
  realP,
  reducePrecisionP,
} from "@traceform/lax";
import { linearInFirst, zeroDerivative } from "../internal/entries.ts";
import { instantiate } from "../internal/zeros.ts";
import { isLinear, type JvpEntry, jvpEntry, type TransposeEntry, transposeEntry } from "../rule.ts";
import { unbroadcast } from "./binary.ts";

export const convertJvps = (): JvpEntry[] => [
  jvpEntry(convertElementTypeP, ([x], [dx], params) => {
    const out = bind1(convertElementTypeP, [x], params);
    if (dx === null || !isInexact(params.newDtype)) return [[out], [null]];
    return [[out], [bind1(convertElementTypeP, [dx], params)]];
  }),
  linearInFirst(reducePrecisionP),
  linearInFirst(realP),
  linearInFirst(imagP),
  linearInFirst(conjP),
  jvpEntry(complexP, ([re, im], [dre, dim]) => {
    const out = complex(re, im);
    if (dre === null && dim === null) return [[out], [null]];
    return [[out], [complex(instantiate(dre, re.aval), instantiate(dim, im.aval))]];
  }),
  zeroDerivative(bitcastConvertTypeP),
];

export const convertTransposes = (): TransposeEntry[] => [
  transposeEntry(convertElementTypeP, ([ct], [x]) => [convertElementTypeWeak(ct!, x.aval.dtype, x.aval.weakType)]),
  transposeEntry(reducePrecisionP, ([ct], _x, params) => [bind1(reducePrecisionP, [ct!], params)]),
  // Cotangents are unconjugated: <ct, re(z)> is the real part of ct * z, and -i stands for the imaginary part.
  transposeEntry(realP, ([ct]) => [complex(ct!, zeroLike(ct!))]),
  transposeEntry(imagP, ([ct]) => [complex(zeroLike(ct!), neg(ct!))]),
  transposeEntry(conjP, ([ct], [x]) => [
    isInexact(x.aval.dtype) && !x.aval.dtype.toString().startsWith("complex") ? real(conj(ct!)) : conj(ct!),
  ]),
  transposeEntry(complexP, ([ct], [re, im]) => [
    isLinear(re) ? unbroadcast(real(ct!), re) : null,
    isLinear(im) ? unbroadcast(imag(neg(ct!)), im) : null,
  ]),
];

function zeroLike(x: NDArray): NDArray {
  return scalar(0, x.dtype);
}
