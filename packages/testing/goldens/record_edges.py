"""Records what JAX gives at the edges of arithmetic. Run: python record_edges.py (JAX 0.10, CPU).

Special values of element functions, integer division, remainders and shifts outside their ranges, and conversions of floats
that no integer holds. Values are strings, which both languages read alike.
"""

import itertools
import json
import os

import jax

jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
import numpy as np
from jax import lax

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FLOATS = ["float16", "bfloat16", "float32", "float64"]
UNARY = ["exp", "exp2", "expm1", "log", "log1p", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh",
         "acosh", "atanh", "erf", "erfc", "erf_inv", "lgamma", "digamma", "bessel_i0e", "bessel_i1e", "sqrt", "rsqrt", "cbrt",
         "logistic"]  # fmt: skip


def text(x):
    x = np.asarray(x)
    if x.dtype.kind in "iu":
        return [str(int(v)) for v in x.ravel()]
    words = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}
    return [words.get(repr(float(v)), repr(float(v))) for v in x.ravel()]


def specials():
    out = {}
    for dtype in ("float32", "float64"):
        most = float(np.finfo(dtype).max)
        xs = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, -3.0, 1e-30, -1e-30, most, -most, np.inf, -np.inf, np.nan]
        rows = {}
        for name in UNARY:
            f = getattr(lax, name, None) or getattr(jax.scipy.special, name)
            rows[name] = text(jnp.stack([f(jnp.asarray(x, dtype)) for x in xs]))
        out[dtype] = {"inputs": text(np.array(xs, dtype)), "values": rows}
    return out


def pairs():
    xs = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0, 4.5, np.inf, -np.inf, np.nan]
    a, b = np.array(list(itertools.product(xs, xs))).T
    out = {"left": text(a), "right": text(b)}
    for name in ("pow", "atan2", "rem", "max", "min", "nextafter"):
        out[name] = {d: text(getattr(lax, name)(jnp.asarray(a, d), jnp.asarray(b, d))) for d in ("float32", "float64")}
    return out


def integers():
    out = {}
    for dtype in INTEGERS:
        i = np.iinfo(dtype)
        some = [i.min, i.min + 1, 0, 1, 2, 3, 7, 100, i.max - 1, i.max] + ([-1, -2, -7] if i.min else [])
        a, b = (np.array(v, dtype) for v in zip(*itertools.product(some, some)))
        amounts = [0, 1, i.bits // 2, i.bits - 1, i.bits, i.bits + 1, 2 * i.bits, i.max] + ([-1, i.min] if i.min else [])
        x, n = (np.array(v, dtype) for v in zip(*itertools.product(some, amounts)))
        out[dtype] = {"left": text(a), "right": text(b), "div": text(lax.div(a, b)), "rem": text(lax.rem(a, b)),
                      "shifted": text(x), "amounts": text(n), "shift_left": text(lax.shift_left(x, n)),
                      "shift_right_logical": text(lax.shift_right_logical(x, n)),
                      "shift_right_arithmetic": text(lax.shift_right_arithmetic(x, n))}  # fmt: skip
    return out


def conversions():
    xs = [0.0, -0.0, 0.5, -0.5, 0.99, -0.99, 1.5, -1.5, 126.9, np.inf, -np.inf, np.nan, 1e30, -1e30, 65504.0, -65504.0]
    for bits in (7, 8, 15, 16, 31, 32, 63, 64):
        xs += [v * s for v in (2.0**bits, 2.0**bits - 1, 2.0**bits + 1, 2.0**bits * 0.99, 2.0**bits * 1.01) for s in (1, -1)]
    out = {}
    for source in FLOATS:
        held = jnp.asarray(xs, source)
        out[source] = {"inputs": text(held.astype("float64")), "values": {t: text(held.astype(t)) for t in INTEGERS}}
    return out


here = os.path.dirname(os.path.abspath(__file__))
edges = {"jax": jax.__version__, "specials": specials(), "pairs": pairs(), "integers": integers(), "conversions": conversions()}
with open(os.path.join(here, "edges.json"), "w") as f:
    json.dump(edges, f, separators=(",", ":"))
    f.write("\n")
