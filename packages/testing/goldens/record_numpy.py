"""Records what JAX computes on CPU for the functions of `@traceform/numpy` and `@traceform/lax`, into numpy.json, and their
gradients and batching into transforms.json.

Run: JAX_PLATFORMS=cpu python record_numpy.py      (JAX 0.10; 64-bit types off, as is JAX's default)
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from recording import *  # noqa: F403

m23, m34, m33 = R(2, 3), R(3, 4), R(3, 3)
t234 = R(2, 3, 4)
i23 = RI(2, 3)
edge = f32(nan, inf, -inf, 0.0, -0.0, 1.5, -2.5, 1e-30)
empty = f32([])
one = f32([[2.5]])
withnan = f32([[1, nan, 3], [nan, nan, 2]])

# --- elementwise, one operand -------------------------------------------------------------------------------------
anywhere = f32(nan, inf, -inf, 0.0, -0.0, 0.5, -0.75, 2.0, -3.25)
for n in "sin cos tan sinh cosh tanh arctan arcsinh exp exp2 expm1 cbrt square negative abs absolute sign floor ceil trunc rint isfinite isinf isnan isposinf isneginf logicalNot rad2deg deg2rad degrees radians positive signbit fabs reciprocal sinc real imag conj conjugate isreal iscomplex nanToNum".split():
    case(n, anywhere)
    case(n, m23)
for n in "log log1p log2 log10 sqrt".split():
    case(n, f32(nan, inf, 0.0, -0.0, 0.5, 2.0, -1.5, 100.0))
for n in "arcsin arccos arctanh".split():
    case(n, f32(nan, 0.0, -0.0, 0.5, -1.0, 1.0, 1.5))
case("arccosh", f32(nan, 1.0, 2.0, 0.5, inf))
for n in "asin acos atan asinh atanh".split():
    case(n, f32(0.0, 0.5, -0.25))
case("acosh", f32(1.5, 2))
for n in "sin exp sqrt rint floor ceil trunc abs sign negative square isnan isfinite isinf logicalNot reciprocal positive cbrt real imag".split():
    case(n, i32(0, 1, 4, -9 if n not in ("sqrt",) else 9))
    case(n, empty)
    case(n, one)
    if n not in ("sign", "negative"):
        case(n, b(True, False))
for n in "sqrt exp abs floor sign tanh".split():
    case(n, f16(0.5, 2, 3.5))
for n in "exp log sin cos tanh sqrt abs conj real imag square negative reciprocal isnan isfinite isinf angle sign".split():
    case(n, c64(1 + 2j, -0.5 + 0.25j, 3 - 1j), tol=1e-5)
case("angle", f32(1, -1, 0))
case("angle", c64(1 + 1j, -1j), at=1, deg=True, tol=1e-5)
case("bitwiseNot", i32(0, 5, -3)); case("bitwiseNot", b(True, False)); case("invert", u8(0, 255, 3))
case("bitwiseCount", i32(0, 5, -3, 255))
case("round", f32(0.5, 1.5, 2.5, -0.5, 2.675, nan, inf)); case("round", f32(1.234, 5.678, -9.995), 2); case("round", f32(1234, 1250, 1350), -2)
case("round", i32(1, 2)); case("around", f32(1.25, 2.35), 1)
case("modf", f32(1.5, -2.25, inf, -inf, 0.0)); case("frexp", f32(1, 0.75, -12, 0, inf, 1e-30, 3e38))
case("nanToNum", f32(nan, inf, -inf, 1)); case("nanToNum", f32(nan, inf, -inf, 1), at=1, nan=5.0, posinf=7.0, neginf=-7.0); case("nanToNum", i32(1, 2))
case("i0", f32(0, 0.5, -3, 10))
case("ldexp", f32(0.5, 1.5, -2), i32(3, -2, 10))

# --- elementwise, two operands ------------------------------------------------------------------------------------
x1, x2 = f32(nan, inf, -inf, 0, -0.0, 1.5, -2.5, 7, -7, 7), f32(1, 2, 3, 0, 2, -0.5, 2, 3, 3, -3)
for n in "add subtract multiply divide trueDivide maximum minimum fmax fmin arctan2 hypot copysign equal notEqual less lessEqual greater greaterEqual floorDivide remainder mod fmod logaddexp logaddexp2 logicalAnd logicalOr logicalXor heaviside nextafter".split():
    case(n, x1, x2)
    case(n, m23, f32(1, 2, 3))
    case(n, f32([[1], [2]]), f32(1, 2, 3))
    case(n, m23, 2.5)
    case(n, 2.5, m23)
    case(n, empty, f32(1))
    case(n, m23, m34, error=True)
for n in "add subtract multiply divide maximum minimum equal less floorDivide remainder fmod power logicalAnd arctan2 fmax".split():
    case(n, i32(7, -7, 7, -7, 0, 5), i32(3, 3, -3, -3, 2, 0) if n != "power" else i32(3, 3, 2, 2, 2, 0))
    case(n, u8(7, 200, 3), u8(3, 100, 5))
    case(n, i8(7, -100, 3), i8(3, 100, 5) if n != "power" else i8(3, 2, 5))
    case(n, i32(5, -5), 3)
    case(n, i8(5, -5), 3)
    case(n, f16(1.5, 2), 2.5)
    case(n, i32(1, 2), f32(0.5, 2))
    case(n, i8(1, 2), u8(3, 4))
    case(n, u32(1, 2), i32(3, 4))
    case(n, f16(1, 2), f32(3, 4))
    if n not in ("subtract", "fmod"):  # JAX computes fmod of bools by another rule than of integers
        case(n, b(True, True, False), b(True, False, False))
for n in "bitwiseAnd bitwiseOr bitwiseXor".split():
    case(n, i32(12, -3), i32(10, 7)); case(n, b(True, False), b(True, True)); case(n, u8(12, 255), 10)
for n in "leftShift rightShift".split():
    case(n, i32(12, -30), i32(2, 3)); case(n, u8(12, 255), u8(2, 3))
case("power", f32(2, 0.5, -2, 0, nan), f32(3, -1, 2, 0, 0)); case("power", f32(2, -3, 0), 2); case("power", f32(2, -3), -2)
case("power", f32(2, 4), 0.5); case("power", f32(2, -3), i32(3, 3)); case("pow", i32(2, 3), 4); case("power", 2.0, f32(1, 2, 3))
case("floatPower", f32(2, 3), f32(0.5, 2), py=lambda x, y: jnp.float_power(x, y))
case("divmod", f32(7, -7, 7.5), f32(3, 3, -2)); case("divmod", i32(7, -7), i32(3, 3))
case("gcd", i32(12, -18, 0, 7), i32(18, 12, 5, 0)); case("lcm", i32(4, 6, 0), i32(6, -4, 3)); case("gcd", i32([[12], [9]]), i32(18, 6))
case("add", c64(1 + 2j), f32(1)); case("multiply", c64(1 + 2j, 3j), c64(2 - 1j, 1)); case("divide", c64(1 + 2j, 3j), c64(2 - 1j, 1 + 1j))
case("equal", c64(1 + 2j, 3), c64(1 + 2j, 3j)); case("power", c64(1 + 1j), c64(2), tol=1e-5)
case("isclose", f32(1, 1, nan, inf, inf, 0), f32(1.000001, 1.1, nan, inf, -inf, 1e-9)); case("isclose", f32(nan, 1), f32(nan, 1), at=2, equal_nan=True)
case("isclose", i32(1, 2), i32(1, 3)); case("allclose", m23, m23); case("allclose", f32(1, 2), f32(1, 2.1)); case("allclose", f32(1, 2), f32(1, 2.1), at=2, rtol=0.1)
case("arrayEqual", m23, m23); case("arrayEqual", m23, m34); case("arrayEqual", f32(nan), f32(nan)); case("arrayEqual", f32(nan), f32(nan), at=2, equal_nan=True)
case("arrayEquiv", f32([[1, 2]]), f32(1, 2)); case("arrayEquiv", f32(1, 2), f32(1, 2, 3), py=lambda a, b: jnp.array(False))
case("where", b(True, False, True), f32(1, 2, 3), f32(4, 5, 6)); case("where", b([[True], [False]]), f32(1, 2), 0.0); case("where", f32(0, 2), i32(1, 2), f32(0.5, 0.5))
case("where", b([[True, False], [True, True]])); case("where", b(True, False), 1.5, i32(2, 3))
case("select", Arrays([b(True, False, False), b(True, True, False)]), Arrays([f32(1, 2, 3), f32(4, 5, 6)]), 9.0)
case("select", Arrays([b(True, False, False), b(True, True, False)]), Arrays([i32(1, 2, 3), i32(4, 5, 6)]))
case("clip", f32(-2, 0.5, 3, nan), -1.0, 1.0); case("clip", i32(-2, 5), 0, 3); case("clip", f32(-2, 5), None, 3.0); case("clip", m23, f32(0, 0, 1), 2.0)
case("piecewise", f32(-2, 0.5, 3), Arrays([b(True, False, False), b(False, False, True)]), [1.0, 2.0, 3.0])
case("choose", i32(0, 1, 1, 0), Arrays([i32(1, 2, 3, 4), i32(5, 6, 7, 8)]))

# --- creation -----------------------------------------------------------------------------------------------------
for n in "zeros ones empty".split():
    case(n, [2, 3], py=lambda s, n=n: getattr(jnp, n)(tuple(s)) if n != "empty" else jnp.zeros(tuple(s)))
    case(n, 3, "int32", py=lambda s, d, n=n: getattr(jnp, n)(s, d) if n != "empty" else jnp.zeros(s, d))
for n in "zerosLike onesLike".split():
    case(n, m23); case(n, i23); case(n, b(True)); case(n, m23, "int8")
case("emptyLike", i23, py=jnp.zeros_like)
case("full", [2, 2], 1.5); case("full", 2, f32(1, 2)); case("full", [2], 3, "int8"); case("full", [2], True, "float32"); case("fullLike", i23, 7); case("fullLike", m23, 1.5)
case("arange", 5); case("arange", 2, 7); case("arange", 2, 9, 3); case("arange", 0.5, 3.0, 0.5); case("arange", 5, -1, -2); case("arange", 3, None, None, "float32", py=lambda s, a, c, d: jnp.arange(s, dtype=d)); case("arange", 0)
case("linspace", 0.0, 1.0, 5); case("linspace", -2.0, 3.0, 4, at=3, endpoint=False); case("linspace", 0.0, 5.0, 1); case("linspace", 0.0, 10.0, 5, at=3, dtype="int32"); case("linspace", f32(0, 1), f32(1, 5), 3); case("linspace", f32(0, 1), f32(1, 5), 3, at=3, axis=1); case("linspace", 2.0, 3.0, 0)
case("logspace", 0.0, 2.0, 5); case("logspace", 0.0, 3.0, 4, at=3, base=2.0); case("geomspace", 1.0, 1000.0, 4); case("geomspace", 1.0, 256.0, 9); case("geomspace", -1.0, -100.0, 3)
case("eye", 3); case("eye", 2, 4, 1); case("eye", 3, 2, -1); case("eye", 2, None, 0, "int32", py=lambda n, m, k, d: jnp.eye(n, m, k, dtype=d)); case("identity", 2)
case("tri", 3); case("tri", 2, 4, 1); case("tril", m34); case("tril", m34, 1); case("tril", t234, -1); case("triu", m34); case("triu", m34, -1); case("triu", i23); case("tril", f32(1), error=True)
case("meshgrid", f32(1, 2), f32(3, 4, 5)); case("meshgrid", f32(1, 2), f32(3, 4, 5), indexing="ij"); case("meshgrid", f32(1, 2), f32(3, 4, 5), sparse=True); case("meshgrid", f32(1, 2))
case("indices", [2, 3], py=lambda s: jnp.indices(tuple(s))); case("indices", [2, 3], py=lambda s, sparse: list(jnp.indices(tuple(s), sparse=sparse)), sparse=True)
case("diag", f32(1, 2)); case("diag", f32(1, 2), 1); case("diag", f32(1, 2), -2); case("diag", m34); case("diag", m34, 1); case("diag", m34, -1); case("diag", m34, 9)
case("diagonal", t234); case("diagonal", t234, 1, 1, 2); case("diagonal", t234, -1, 2, 0); case("diagflat", m23); case("diagflat", f32(1, 2), 1)
case("trace", m33); case("trace", t234, 1, 1, 2); case("trace", i23); case("vander", f32(1, 2, 3)); case("vander", i32(1, 2, 3), 2); case("vander", f32(1, 2), at=1, increasing=True, py=lambda x, increasing: jnp.vander(x, increasing=increasing))
case("diagIndices", 3); case("diagIndicesFrom", m33); case("trilIndices", 3); case("trilIndices", 3, 1, 4); case("triuIndices", 3, -1); case("triuIndices", 2, 0, 4); case("trilIndicesFrom", m34); case("triuIndicesFrom", m34)
for n in "bartlett blackman hamming hanning".split():
    case(n, 5); case(n, 1); case(n, 0)
case("kaiser", 6, 5.0)
case("array", [[1.0, 2.0], [3.0, 4.0]]); case("array", [1.7, -2.2], "int32", py=lambda v, d: jnp.asarray(np.array(v, np.float32)).astype(d)); case("copy", m23)
case("fillDiagonal", m33, 5.0, py=lambda x, v: jnp.fill_diagonal(x, v, inplace=False)); case("fillDiagonal", m34, f32(1, 2, 3), py=lambda x, v: jnp.fill_diagonal(x, v, inplace=False))

# --- shapes -------------------------------------------------------------------------------------------------------
case("reshape", m23, [3, 2]); case("reshape", m23, -1); case("reshape", m23, [-1, 2]); case("reshape", m23, [3, 2], at=2, order="F"); case("reshape", m23, [4], error=True); case("reshape", empty, [0, 3])
case("ravel", m23); case("ravel", m23, at=1, order="F"); case("transpose", m23); case("transpose", t234, [1, 2, 0]); case("permuteDims", t234, [2, 0, 1]); case("transpose", t234, [0, 1], error=True); case("matrixTranspose", t234)
case("swapaxes", t234, 0, 2); case("swapaxes", t234, -1, 1); case("moveaxis", t234, 0, -1); case("moveaxis", t234, [0, 1], [-1, -2]); case("rollaxis", t234, 2); case("rollaxis", t234, 0, 3)
case("expandDims", m23, 0); case("expandDims", m23, [0, -1]); case("squeeze", f32([[[1], [2]]])); case("squeeze", f32([[[1], [2]]]), 0); case("squeeze", m23, 0, error=True)
case("broadcastTo", f32(1, 2, 3), [2, 3]); case("broadcastTo", f32([[1], [2]]), [2, 3]); case("broadcastTo", m23, [2, 4], error=True); case("broadcastArrays", f32([[1], [2]]), f32(1, 2, 3)); case("broadcastShapes", [2, 1], [3])
case("flip", m23); case("flip", m23, 1); case("flip", t234, [0, 2]); case("fliplr", m23); case("flipud", m23); case("rot90", m23); case("rot90", m23, 2); case("rot90", m23, 3); case("rot90", m23, -1); case("rot90", t234, 1, [1, 2])
case("roll", f32(1, 2, 3, 4), 1); case("roll", m23, 1); case("roll", m23, 1, 1); case("roll", m23, -4, 1); case("roll", m23, [1, 2], [0, 1]); case("roll", m23, i32(1), 1); case("roll", m23, i32(1, -1), [0, 1])
case("repeat", f32(1, 2), 3); case("repeat", m23, 2, 1); case("repeat", m23, 2); case("repeat", f32(1, 2, 3), i32(0, 2, 1)); case("repeat", m23, i32(1, 2), 0); case("repeat", f32(1, 2, 3), i32(0, 2, 1), at=3, total_repeat_length=5)
case("tile", f32(1, 2), 3); case("tile", m23, [2, 1]); case("tile", f32(1, 2), [2, 2]); case("tile", m23, 2); case("resize", f32(1, 2, 3), [2, 4], py=lambda x, s: jnp.resize(x, tuple(s)))
for n in "atleast1d atleast2d atleast3d".split():
    case(n, np.array(3, np.float32)); case(n, f32(1, 2)); case(n, m23); case(n, t234)
case("concatenate", Arrays([m23, m23])); case("concatenate", Arrays([m23, m23]), 1); case("concatenate", Arrays([m23, f32(1)]), None); case("concatenate", Arrays([i32(1), f32(2)])); case("concatenate", Arrays([m23, m34]), error=True); case("concatenate", Arrays([i32(1), u8(2)])); case("concat", Arrays([f32(1), empty]))
case("stack", Arrays([f32(1, 2), f32(3, 4)])); case("stack", Arrays([f32(1, 2), f32(3, 4)]), 1); case("stack", Arrays([f32(1, 2), f32(3, 4)]), -1); case("stack", Arrays([f32(1), f32(1, 2)]), error=True)
for n in "vstack hstack dstack columnStack".split():
    case(n, Arrays([f32(1, 2), f32(3, 4)])); case(n, Arrays([m23, m23]))
case("block", [Arrays([m33, m33]), Arrays([m33, m33])]); case("append", m23, m23); case("append", m23, m23, 0)
case("split", f32(1, 2, 3, 4), 2); case("split", m34, 2, 1); case("split", f32(1, 2, 3, 4), [1, 3]); case("split", f32(1, 2, 3), 2, error=True); case("arraySplit", f32(1, 2, 3, 4, 5), 3); case("hsplit", m34, 2); case("vsplit", m34, 3); case("dsplit", t234, 2)
case("unstack", m23); case("unstack", m23, at=1, axis=1)
for mode in "edge reflect symmetric wrap maximum minimum mean median linear_ramp".split():
    case("pad", f32(1, 2, 4, 8), 2, py=lambda x, w, mode: jnp.pad(x, w, mode), mode=mode); case("pad", m34, [[1, 2], [0, 3]], py=lambda x, w, mode: jnp.pad(x, w, mode), mode=mode)
case("pad", f32(1, 2, 3), 7, py=lambda x, w, mode: jnp.pad(x, w, mode), mode="reflect"); case("pad", f32(1, 2, 3), [4, 8], py=lambda x, w, mode: jnp.pad(x, w, mode), mode="symmetric"); case("pad", f32(1, 2, 3), [4, 8], py=lambda x, w, mode: jnp.pad(x, w, mode), mode="wrap")
case("pad", f32(1, 2, 3), [1, 2], py=lambda x, w, mode, reflect_type: jnp.pad(x, w, mode, reflect_type=reflect_type), mode="reflect", reflect_type="odd")
case("pad", f32(1, 2, 3), 2); case("pad", m23, [[1, 0], [2, 1]]); case("pad", f32(1, 2), [1, 2], at=2, constant_values=9.0); case("pad", i23, 1, at=2, constant_values=[[1, 2], [3, 4]], py=lambda x, w, constant_values: jnp.pad(x, w, constant_values=tuple(map(tuple, constant_values))))
case("delete_", f32(1, 2, 3, 4), 1); case("delete_", m34, 1, 1); case("delete_", m34, i32(0, 2), 0); case("delete_", m23, 0); case("insert", f32(1, 2, 3), 1, 9.0); case("insert", m23, 1, 9.0, 1); case("insert", f32(1, 2, 3), [0, 2], f32(7, 8), py=lambda x, o, v: jnp.insert(x, jnp.array(o), v)); case("insert", m23, 1, f32(7, 8, 9), 0); case("insert", m23, 0, f32(7, 8), 1)

# --- reductions ---------------------------------------------------------------------------------------------------
for n in "sum prod max min mean var_ std ptp any all countNonzero amax amin".split():
    for x in (m23, i23, t234):
        case(n, x)
    case(n, m23, 0); case(n, m23, -1); case(n, t234, [0, 2]); case(n, m23, 1, at=2, keepdims=True); case(n, t234, at=2, keepdims=True)
    case(n, withnan, 1)
    case(n, m23, 2, error=True)
    case(n, one); case(n, f16(1.5, 2.25, 3)) if n != "prod" else None
    if n not in ("ptp",):
        case(n, b([[True, False], [True, True]]), 0)
        case(n, i8(100, 100, 50)); case(n, u8(200, 100))
    if n in ("max", "min", "ptp", "amax", "amin"):
        case(n, empty, error=True)
    else:
        case(n, empty); case(n, np.zeros((0, 3), np.float32), 0)
mask = b([[True, False, True], [False, True, True]])
for n in "sum prod mean var_ std any all".split():
    case(n, m23, 0, at=2, where=mask); case(n, m23, None, at=2, where=b(True, False, True), keepdims=True)
case("sum", m23, 1, at=2, initial=10.0); case("prod", m23, 1, at=2, initial=2.0); case("max", m23, 1, at=2, initial=0.5); case("min", m23, 1, at=2, initial=0.0, where=mask); case("max", i23, 1, at=2, initial=-100, where=mask); case("max", empty, at=2, initial=3.0); case("max", m23, at=2, where=mask, error=True)
case("sum", i8(100, 100), at=2, dtype="float32"); case("mean", i32(1, 2), at=2, dtype="float16"); case("sum", m23, at=2, dtype="int32")
case("var_", m23, 0, at=2, ddof=1); case("std", m23, at=2, ddof=2); case("var_", f32(3), at=2, ddof=1); case("var_", c64(1 + 2j, 3 - 1j)); case("mean", c64(1 + 2j, 3 - 1j)); case("sum", c64(1 + 2j, 3 - 1j))
case("max", edge[1:]); case("min", edge); case("max", b(True, False)); case("max", f32(nan, 1)); case("min", u8(5, 3))
case("average", m23); case("average", m23, 0); case("average", m23, 1, at=2, weights=f32(1, 2, 3)); case("average", m23, at=2, weights=np.abs(m23)); case("average", i23, 1); case("average", m23, 1, at=2, weights=f32(1, 2, 3), returned=True)
for n in "argmax argmin".split():
    case(n, m23); case(n, m23, 0); case(n, m23, 1, at=2, keepdims=True); case(n, f32(1, nan, 0, nan)); case(n, i32(3, 7, 7, 3)); case(n, b(False, True)); case(n, empty, error=True); case(n, f32(3, 3))
for n in "nansum nanprod nanmax nanmin nanmean nanvar nanstd nanargmax nanargmin nanmedian".split():
    x = f32([[1, nan, 3], [nan, 5, 2]])
    case(n, x); case(n, x, 1); case(n, m23, 0); case(n, i23)
for n in "nansum nanprod nanmax nanmean nancumsum".split():
    case(n, f32(nan, nan))
case("nanmean", f32([[1, nan, 3], [nan, 5, 2]]), 0, at=2, keepdims=True)
for n in "cumsum cumprod nancumsum nancumprod".split():
    case(n, m23); case(n, m23, 1); case(n, i23, 0); case(n, b(True, False, True)); case(n, f32(1, nan, 2)); case(n, i8(100, 100)); case(n, empty)
case("cumsum", i32(1, 2), None, at=2, dtype="float32"); case("cumulativeSum", f32(1, 2, 3)); case("cumulativeSum", m23, at=1, axis=1, include_initial=True); case("cumulativeProd", i8(1, 2, 3)); case("cumulativeProd", m23, at=1, axis=0, include_initial=True)
for n in "quantile nanquantile".split():
    x = f32([[1, 5, 3], [9, 2, 4]])
    case(n, x, 0.3); case(n, x, f32(0, 0.25, 1), 1); case(n, x, 0.5, 0, at=3, keepdims=True); case(n, x, f32(0.1, 0.7), at=3, keepdims=True)
    for m in "lower higher midpoint nearest".split():
        case(n, x, 0.4, 1, at=3, method=m)
case("quantile", withnan, 0.5, 1); case("nanquantile", withnan, 0.5, 1); case("quantile", t234, 0.25, [0, 2]); case("quantile", i32(1, 2, 4), 0.5)
case("percentile", f32(1, 5, 3, 2), 30.0); case("percentile", m34, f32(10, 90), 0); case("nanpercentile", withnan, 50.0, 1)
case("median", f32(3, 1, 2)); case("median", f32(4, 3, 1, 2)); case("median", m34, 0); case("median", t234, [0, 1], at=2, keepdims=True); case("median", i32(1, 2)); case("median", withnan, 0); case("nanmedian", withnan, 1)
case("cov", m34); case("cov", f32(1, 2, 4)); case("cov", m34, m34); case("cov", m34, at=2, rowvar=False); case("cov", m34, None, at=2, bias=True); case("cov", m34, None, at=2, ddof=0); case("cov", m34, None, at=2, fweights=i32(1, 2, 1, 3)); case("cov", m34, None, at=2, aweights=f32(1, 2, 1, 3))
case("corrcoef", m34); case("corrcoef", f32(1, 2, 4), f32(2, 1, 5)); case("corrcoef", m34, None, at=2, rowvar=False)
case("histogram", f32(1, 2, 1.5, 4, 2.2)); case("histogram", f32(1, 2, 1.5, 4), 4); case("histogram", f32(1, 2, 1.5, 4), f32(0, 1, 2, 5)); case("histogram", f32(1, 2, 1.5, 4), 2, at=2, range=[0.0, 3.0], py=lambda x, n, range: jnp.histogram(x, n, range=range)); case("histogram", f32(1, 2, 1.5, 4), 3, at=2, density=True); case("histogram", f32(1, 2, 4), 2, at=2, weights=f32(1, 2, 3)); case("histogramBinEdges", f32(1, 2, 1.5, 4), 4)
case("bincount", i32(0, 1, 1, 3)); case("bincount", i32(0, 1, 1), at=1, minlength=5); case("bincount", i32(0, 1, 1), at=1, weights=f32(0.5, 1, 2)); case("bincount", i32(0, 1, 7), at=1, length=3)

# --- products -----------------------------------------------------------------------------------------------------
case("matmul", m23, m34); case("matmul", f32(1, 2, 3), m34); case("matmul", m23, f32(1, 2, 3)); case("matmul", f32(1, 2), f32(3, 4)); case("matmul", t234, R(4, 2)); case("matmul", m23, t234.transpose(0, 1, 2)); case("matmul", R(2, 1, 2, 3), R(3, 3, 4)); case("matmul", R(5, 2, 3), R(5, 3, 2)); case("matmul", i23, RI(3, 2)); case("matmul", f32(1, 2, 3), t234); case("matmul", t234, f32(1, 2, 3, 4)); case("matmul", m23, m23, error=True); case("matmul", i23, m34); case("matmul", b([[True, False]]), b([[True], [True]])); case("matmul", np.zeros((2, 0), np.float32), np.zeros((0, 3), np.float32))
case("dot", f32(1, 2), f32(3, 4)); case("dot", m23, m34); case("dot", t234, m34.T.copy()); case("dot", t234, R(2, 4, 2)); case("dot", m23, 2.0); case("dot", m23, f32(1, 2, 3)); case("dot", m23, m23, error=True)
case("inner", m23, m23); case("inner", t234, f32(1, 2, 3, 4)); case("inner", f32(1, 2), f32(3, 4)); case("outer", f32(1, 2), f32(3, 4, 5)); case("outer", m23, f32(1, 2)); case("vdot", m23, m23); case("vdot", c64(1 + 2j, 1), c64(1j, 2)); case("tensordot", t234, R(3, 4, 2)); case("tensordot", t234, R(4, 3), 1); case("tensordot", t234, R(4, 2), [[2], [0]]); case("tensordot", t234, R(3, 2), [[1, 0], [0, 1]]); case("tensordot", f32(1, 2), f32(3, 4), 0)
case("vecdot", m23, m23); case("vecdot", t234, R(3, 4)); case("vecdot", m23, m23, at=2, axis=0); case("matvec", m23, f32(1, 2, 3)); case("matvec", t234, R(2, 4)); case("vecmat", f32(1, 2), m23); case("kron", m23, f32(1, 2)); case("kron", m23, m23); case("kron", i32(1, 2), i32(3, 4))
case("cross", f32(1, 2, 3), f32(4, 5, 6)); case("cross", f32(1, 2), f32(3, 4)); case("cross", R(2, 3), R(2, 3)); case("cross", R(3, 2), R(3, 2), 0, py=lambda x, y, a: jnp.cross(x, y, axis=a)); case("cross", f32(1, 2), f32(4, 5, 6)); case("cross", R(4, 3), f32(1, 2, 3))
E = lambda s, *xs: case("einsum", s, *xs)
E("ij,jk->ik", m23, m34); E("ij,jk", m23, m34); E("ij->ji", m23); E("ij->", m23); E("ij->j", m23); E("ii", m33); E("ii->i", m33); E("ij,ij->ij", m23, m23); E("ij,ij", m23, m23); E("i,j->ij", f32(1, 2), f32(3, 4)); E("bij,bjk->bik", R(2, 3, 4), R(2, 4, 5)); E("...ij,...jk->...ik", R(2, 3, 4), R(4, 5)); E("...j,j->...", t234, f32(1, 2, 3, 4)); E("ij,jk,kl->il", m23, m34, R(4, 2)); E("ij,j,k->ik", m23, f32(1, 2, 3), f32(4, 5)); E("abc,cd,de,ea->b", R(2, 3, 4), R(4, 2), R(2, 3), R(3, 2)); E("ba", m23); E("i->", f32(1, 2)); E("ij,kl->ijkl", m23, m23); E("iij->j", R(3, 3, 2)); E("i,i->i", f32(1, 2), f32(3, 4)); E("...", m23); E("...i->...", m23); E("bhqd,bhkd->bhqk", R(2, 2, 3, 4), R(2, 2, 3, 4)); E("ij,jk->ik", i23, RI(3, 2)); E("a,b,c,d,e,f,g->abcdefg", *[R(2) for _ in range(7)]); E("ijk,ilm,njm,nlk,abc->", R(2, 2, 2), R(2, 2, 2), R(2, 2, 2), R(2, 2, 2), R(2, 2, 2))
case("einsum", "ij,jk->ik", m23, m23, error=True); case("einsum", m23, [0, 1], m34, [1, 2], [0, 2]); case("einsum", "ij,kj", m23, f32([[1, 2, 3]]))

# --- sorting, searching, sets ---------------------------------------------------------------------------------------
s = f32(3, nan, 1, -0.0, 0.0, inf, 1, -inf)
for n in "sort argsort".split():
    case(n, s); case(n, m34); case(n, m34, 0); case(n, m34, None); case(n, i32(3, 1, 2, 1)); case(n, f32(3, 1, 2, 1), at=2, descending=True); case(n, b(True, False, True)); case(n, empty); case(n, t234, 1)
case("lexsort", Arrays([i32(1, 2, 1, 2), i32(4, 3, 3, 3)])); case("lexsort", m34); case("partition", f32(3, 1, 2), 2, py=lambda x, k: jnp.sort(x)); case("argpartition", f32(3, 1, 2), 2, py=lambda x, k: jnp.argsort(x)); case("sortComplex", f32(3, 1))
a = f32(1, 2, 2, 3, 5)
case("searchsorted", a, f32(0, 1, 2, 2.5, 5, 6, nan)); case("searchsorted", a, f32(0, 1, 2, 2.5, 5, 6, nan), "right"); case("searchsorted", a, 2.0); case("searchsorted", i32(1, 3), m23); case("searchsorted", empty, f32(1)); case("searchsorted", f32(3, 1, 2), f32(2.5), at=2, sorter=i32(1, 2, 0))
case("digitize", f32(0.5, 1, 3, 7), f32(1, 2, 5)); case("digitize", f32(0.5, 1, 3, 7), f32(1, 2, 5), True); case("digitize", f32(0.5, 1, 3, 7), f32(5, 2, 1)); case("digitize", f32(0.5, 5), f32(5, 2, 1), True)
for n in "nonzero argwhere flatnonzero".split():
    case(n, i32([[0, 1], [2, 0]])); case(n, f32(0, 0)); case(n, i32([[0, 1], [2, 0]]), size=3); case(n, i32([[0, 1], [2, 0]]), size=4, fill_value=-1); case(n, i32([[0, 1], [2, 3]]), size=2)
case("unique", f32(3, 1, 1, 2, nan, nan)); case("unique", i23); case("unique", i32(3, 1, 1, 2), at=1, return_index=True, return_inverse=True, return_counts=True); case("unique", i32([[1, 2], [1, 2], [0, 5]]), at=1, axis=0); case("unique", i32([[2, 1, 2], [5, 4, 5]]), at=1, axis=1); case("unique", i32(3, 1, 1, 2), at=1, size=5); case("unique", i32(3, 1, 1, 2), at=1, size=2); case("unique", i32(3, 1, 1, 2), at=1, size=5, fill_value=-7); case("unique", empty); case("unique", f32(nan, 1, nan), at=1, equal_nan=False)
case("isin", f32(1, 2, 3), f32(2, 5)); case("isin", m23, m23[0]); case("isin", i32(1, 2), i32(2), at=2, invert=True); case("isin", i32(1, 50, 3), np.arange(40, dtype=np.int32)); case("isin", f32(1), empty)
case("union1d", i32(1, 3, 2), i32(2, 5)); case("intersect1d", i32(1, 3, 2, 2), i32(2, 5, 1)); case("setdiff1d", i32(1, 3, 2, 2), i32(2, 5)); case("setxor1d", i32(1, 3, 2), i32(2, 5))
case("extract", b(True, False, True), f32(1, 2, 3)); case("compress", b(True, False), m23, 0); case("compress", b(True, False, True), f32(1, 2, 3)); case("compress", b(True, False, True), f32(1, 2, 3), None, at=3, size=3, fill_value=9)
case("unravelIndex", i32(0, 5, 3), [2, 3], py=lambda i, s: jnp.unravel_index(i, tuple(s))); case("ravelMultiIndex", Arrays([i32(0, 1), i32(2, 0)]), [2, 3], at=2, mode="clip", py=lambda c, s, mode: jnp.ravel_multi_index(tuple(c), tuple(s), mode=mode)); case("ravelMultiIndex", Arrays([i32(0, 3), i32(4, 0)]), [2, 3], at=2, mode="wrap", py=lambda c, s, mode: jnp.ravel_multi_index(tuple(c), tuple(s), mode=mode))
case("ix_", i32(0, 1), i32(1, 2, 0))

# --- taking and indexing ----------------------------------------------------------------------------------------------
case("take", f32(1, 2, 3), i32(0, -1, 5, -7)); case("take", m34, i32([[0, 2], [1, 1]]), 1); case("take", m34, i32(3, 0)); case("take", i32(1, 2, 3), i32(0, 9)); case("take", f32(1, 2, 3), 1); case("take", f32(1, 2, 3), i32(0, 5, -7), None, at=3, mode="clip"); case("take", f32(1, 2, 3), i32(0, 5, -7), None, at=3, mode="wrap"); case("take", f32(1, 2, 3), i32(0, 5), None, at=3, fill_value=9.0); case("take", u8(1, 2, 3), i32(0, 9))
case("takeAlongAxis", m34, i32([[0], [1], [3]]), 1); case("takeAlongAxis", m34, i32([[0, 2, 1, 0]]), 0); case("takeAlongAxis", m23, i32(0, 5), None); case("takeAlongAxis", f32(1, 2, 3), i32(-1, 7)); case("putAlongAxis", m23, i32([[0], [2]]), 9.0, 1, py=lambda x, i, v, a: jnp.put_along_axis(x, i, v, a, inplace=False))
case("put", m23, i32(0, 4), f32(7, 8), py=lambda x, i, v: jnp.put(x, i, v, inplace=False))
S = Slice
x, y = np.arange(24, dtype=np.float32).reshape(4, 6), np.arange(60, dtype=np.int32).reshape(3, 4, 5)
indices = [
    (x, [0]), (x, [-1]), (x, [1, 2]), (x, [S(1, 3)]), (x, [S(None, None, 2)]), (x, [S(None, None, -1)]), (x, [S(3, None, -2), S(1, 5, 3)]), (x, [..., 0]), (x, [None, 0]), (x, [S(None), None]),
    (x, [S(5, 2)]), (x, [S(-3, -1)]), (x, [S(10, None)]), (y, [0, ..., 1]), (y, [..., None, S(None, None, -2)]), (x, [i32(0, 2)]), (x, [i32(0, -1), i32(1, 2)]), (x, [i32([[0], [1]]), i32(2, 3)]),
    (x, [S(None), i32(5, 0)]), (x, [i32(1, 1), S(1, 4)]), (y, [0, S(None), i32(1, 2)]), (y, [i32(0, 1), S(None), i32(1, 2)]), (y, [S(None), i32(0, 1), i32(1, 2)]), (y, [S(None), 1, i32(1, 2)]), (y, [i32(0, 1), None, 2]),
    (x, [x[:, 0] > 5]), (x, [x > 10]), (x, [S(None), np.array([True, False, True, False, False, True])]), (y, [i32(0, 1), S(3, 0, -2)]), (x, [i32(99, -99)]), (x, [np.array(2, np.int32)]), (x, [np.array(77, np.int32), S(1, 3)]), (x, [S(None), np.array(-1, np.int32)]), (y, [i32(0, 1), ..., i32(1, 2)]), (y, [None, i32(0, 1), S(1, 3), 2]), (x, []), (x, [u8(1, 3)]), (y, [S(None), S(None, None, 2), i32(0, 4)]),
]
for v, idx in indices:
    case("getItem", v, Index(idx), py=lambda a, i: a[i])
case("getItem", x, Index([i32(99, 1)]), at=2, mode="fill", py=lambda a, i, mode: a.at[i].get(mode=mode)); case("getItem", x, Index([i32(99, 1)]), at=2, mode="fill", fill_value=-1.0, py=lambda a, i, mode, fill_value: a.at[i].get(mode=mode, fill_value=fill_value))
for v, idx in indices:
    shape = np.asarray(jnp.asarray(v)[to_jax(Index(idx))]).shape
    for method, value in (("set", 7), ("add", 2), ("multiply", 3), ("min", 5), ("max", 9)):
        case("at", v, Index(idx), method, value if v is y else float(value), py=lambda a, i, m, w: getattr(a.at[i], m)(w))
    values = np.arange(int(np.prod(shape))).reshape(shape).astype(v.dtype)
    if np.prod(shape) > 0 and v is x:
        case("at", v, Index(idx), "add", values, py=lambda a, i, m, w: getattr(a.at[i], m)(w))
case("at", x, Index([i32(1, 1)]), "add", f32([[1], [2]]) * np.ones((2, 6), np.float32), py=lambda a, i, m, w: a.at[i].add(w)); case("at", x, Index([0]), "divide", 2.0, py=lambda a, i, m, w: a.at[i].divide(w)); case("at", x, Index([0]), "power", 2.0, py=lambda a, i, m, w: a.at[i].power(w)); case("at", x, Index([i32(1)]), "subtract", 2.0, py=lambda a, i, m, w: a.at[i].subtract(w)); case("at", x, Index([i32(9)]), "set", 2.0, py=lambda a, i, m, w, mode: a.at[i].set(w, mode=mode), mode="clip")

# --- calculus, polynomials ----------------------------------------------------------------------------------------------
case("diff", f32(1, 4, 9, 16)); case("diff", f32(1, 4, 9, 16), 2); case("diff", m34, 1, 0); case("diff", b(True, False, False)); case("diff", f32(1, 4), 1, -1, at=3, prepend=0.0, append=f32(9)); case("diff", i32(1, 4), 5); case("ediff1d", f32(1, 4, 9), at=1, to_end=f32(7), to_begin=f32(0))
case("gradient", f32(1, 4, 9, 16)); case("gradient", m34); case("gradient", m34, at=1, axis=1); case("gradient", f32(1, 4, 9), 2.0); case("gradient", f32(1, 4, 9, 16), f32(0, 1, 3, 4))
case("trapezoid", f32(1, 4, 9)); case("trapezoid", m34, at=2, axis=0); case("trapezoid", f32(1, 4, 9), f32(0, 1, 4)); case("trapezoid", f32(1, 4, 9), at=2, dx=0.5); case("unwrap", f32(0, 1, 7, 8, -3), tol=1e-5); case("unwrap", f32(0, 3.5, 7.1), None, -1, 4.0, py=lambda x, d, a, p: jnp.unwrap(x, d, a, p), tol=1e-5)
for n in "convolve correlate".split():
    for m in "full same valid".split():
        case(n, f32(1, 2, 3), f32(0, 1, 0.5), m); case(n, f32(1, 2, 3, 4, 5), f32(1, -1), m); case(n, f32(1, -1), f32(1, 2, 3, 4, 5), m); case(n, i32(1, 2, 3), i32(1, 1), m); case(n, f32(1, 2, 3, 4, 5), f32(1, -1, 2, 3), m); case(n, f32(1, -1, 2, 3), f32(1, 2, 3, 4, 5), m)
case("interp", f32(-1, 0, 0.5, 1.5, 2, 3), f32(0, 1, 2), f32(1, 3, 2)); case("interp", f32(-1, 5), f32(0, 1, 2), f32(1, 3, 2), at=3, left=-9.0, right=9.0); case("interp", f32(-0.5, 2.5), f32(0, 1, 2), f32(1, 3, 2), at=3, period=2.0); case("interp", 0.25, f32(0, 1), f32(0, 4))
case("polyval", f32(1, 2, 3), f32(2, 0)); case("polyadd", f32(1, 2, 3), f32(1, 1)); case("polysub", f32(1), f32(1, 2)); case("polymul", f32(1, 2), f32(1, -1)); case("polyder", f32(1, 2, 3)); case("polyder", f32(1, 2, 3), 2); case("polyint", f32(6, 2)); case("polyint", f32(6, 2), 2)

# --- lax --------------------------------------------------------------------------------------------------------------
L = lambda n, *a, **k: case("lax." + n, *a, **k)
for n in "neg sign abs square floor ceil isFinite exp exp2 expm1 sin cos tan atan sinh cosh tanh asinh logistic erf erfc rsqrt cbrt lgamma digamma besselI0e besselI1e reciprocal".split():
    L(n, f32(nan, inf, -inf, 0.0, 0.5, -0.75, 2.0, -3.25, 12.5) if n not in ("rsqrt", "lgamma", "digamma", "reciprocal") else f32(0.5, 2, 7.25, 0.01, 30), tol=2e-5 if n in ("lgamma", "digamma", "erfc", "besselI0e", "besselI1e") else None)
L("erfInv", f32(0, 0.5, -0.9, 0.999, 1, -1), tol=2e-5); L("round", f32(0.5, 1.5, -0.5, 2.4)); L("integerPow", f32(2, -3, 0.5), 3); L("integerPow", f32(2, -3, 0.5), -2); L("integerPow", i32(2, -3), 5)
L("populationCount", u32(0, 255, 4294967295)); L("populationCount", i8(-1, 7)); L("clz", u32(0, 1, 255)); L("clz", i32(-1, 7)); L("clz", u8(1, 16)); L("bitwiseNot", i32(0, -1, 5))
for n in "add sub mul div rem max min pow atan2 nextafter".split():
    L(n, f32(7, -7, 2.5, 1), f32(3, 3, -2, 0.5)); L(n, f32(1, 2), 2.5)
for n in "add sub mul div rem max min bitwiseAnd bitwiseOr bitwiseXor eq ne lt le gt ge".split():
    L(n, i32(7, -7, 2147483647, -2147483648, 5), i32(3, 3, 1, -1, 0)); L(n, u8(200, 3), u8(100, 5)); L(n, i32(1, 2), 2)
L("shiftLeft", i32(1, -3, 5, 1), i32(3, 2, 31, 32)); L("shiftRightLogical", i32(-8, 5, 1), i32(1, 1, 40)); L("shiftRightArithmetic", i32(-8, 5, -1), i32(1, 1, 40)); L("shiftLeft", u8(255, 1), u8(3, 9))
L("igamma", f32(0.5, 2, 5), f32(1, 2, 3), tol=2e-5); L("igammac", f32(0.5, 2, 5), f32(1, 2, 3), tol=2e-5); L("betainc", f32(0.5, 2), f32(1, 3), f32(0.3, 0.6), tol=2e-5); L("zeta", f32(2, 3.5), f32(1, 2), tol=2e-5); L("polygamma", f32(1, 2), f32(1.5, 2), tol=2e-5)
L("add", f32(1), i32(1), error=True); L("add", f32(1, 2), f32(1, 2, 3), error=True); L("add", b(True), b(True), error=True); L("sin", i32(1), error=True)
L("select", b(True, False), f32(1, 2), f32(3, 4)); L("selectN", i32(0, 2, 1), f32(1, 2, 3), f32(4, 5, 6), f32(7, 8, 9)); L("selectN", b(True, False), f32(1, 2), f32(3, 4)); L("clamp", -1.0, f32(-3, 0.5, 2, nan), 1.0); L("clamp", f32(0, 0), f32(-1, 5), f32(2, 3))
L("convertElementType", f32(1.7, -1.7, nan, 3e9), "int32"); L("bitcastConvertType", f32(1, -2), "uint32"); L("bitcastConvertType", u32(1, 256), "uint8"); L("bitcastConvertType", np.array([[1, 2, 3, 4]], np.uint8), "uint32"); L("reducePrecision", f32(1.2345678, 3e38), 8, 7, py=lambda x, e, m: lax.reduce_precision(x, e, m))
L("complex", f32(1, 2), f32(3, 4)); L("real", c64(1 + 2j)); L("imag", c64(1 + 2j)); L("conj", c64(1 + 2j))
L("broadcast", f32(1, 2), [3]); L("broadcastInDim", f32(1, 2), [2, 3], [0]); L("broadcastInDim", f32([[1], [2]]), [2, 3], [0, 1]); L("reshape", m23, [3, 2]); L("reshape", m23, [3, 2], [1, 0]); L("squeeze", one, [0]); L("expandDims", m23, [1]); L("transpose", t234, [2, 0, 1]); L("rev", m23, [1]); L("collapse", t234, 0, 2); L("tile", m23, [2, 1], py=lambda x, r: jnp.tile(x, r))
L("pad", f32(1, 2, 3), 0.5, [[1, 2, 1]], py=lambda x, v, c: lax.pad(x, jnp.float32(v), [tuple(p) for p in c])); L("pad", m34, 0.5, [[-1, 0, 0], [0, -2, 1]], py=lambda x, v, c: lax.pad(x, jnp.float32(v), [tuple(p) for p in c]))
L("concatenate", Arrays([m23, m23]), 1); L("slice", m34, [0, 1], [3, 4], [2, 2]); L("slice", m34, [1, 0], [2, 3]); L("slice", m34, [0, 0], [9, 4], error=True); L("sliceInDim", m34, 1, None, 1, 1); L("sliceInDim", m34, -2, None); L("indexInDim", m34, -1, 1, False)
L("dynamicSlice", m34, [1, 2], [2, 2]); L("dynamicSlice", m34, [9, -1], [2, 2]); L("dynamicSlice", m34, Arrays([np.array(1, np.int32), np.array(-1, np.int32)]), [2, 1]); L("dynamicUpdateSlice", m34, f32([[9, 8]]), [1, 3]); L("dynamicSliceInDim", m34, 1, 2, 1); L("dynamicIndexInDim", m34, np.array(-1, np.int32), 0, False); L("dynamicUpdateSliceInDim", m34, f32([[9], [8], [7]]), 2, 1); L("dynamicUpdateIndexInDim", m34, f32(9, 8, 7), 2, 1)
L("dot", m23, m34); L("dot", f32(1, 2, 3), m34); L("batchMatmul", R(2, 2, 3), R(2, 3, 2)); L("dotGeneral", t234, R(4, 2, 5), [[[2], [0]], [[0], [1]]], py=lambda a, b, d: lax.dot_general(a, b, (((2,), (0,)), ((0,), (1,))))); L("dotGeneral", m23, m23, [[[0], [0]]], py=lambda a, b, d: lax.dot_general(a, b, (((0,), (0,)), ((), ()))))
for n in "reduceSum reduceProd reduceMax reduceMin".split():
    L(n, m34, [0]); L(n, t234, [0, 2]); L(n, RI(2, 3), [1])
for n in "reduceAnd reduceOr reduceXor".split():
    L(n, b([[True, False], [True, True]]), [1]); L(n, i32([[12, 10], [7, 3]]), [0])
L("argmax", m34, 1, "int32"); L("argmin", f32(3, nan, 1), 0, "int32"); L("reduce", m34, 0.0, Fn("lax.add"), [0], py=lambda x, i, f, d: lax.reduce(x, jnp.float32(i), f, d)); L("reduce", m34, 2.0, Fn("lax.mul"), [1], py=lambda x, i, f, d: lax.reduce(x, jnp.float32(i), f, d)); L("reduce", f32(7, 2, 3), 0.0, Fn("lax.atan2"), [0], py=lambda x, i, f, d: lax.reduce(x[:1], jnp.float32(0), lax.add, (0,)) * 0 + jnp.float32(0), error=False) if False else None
for n in "cumsum cumprod cummax cummin cumlogsumexp".split():
    L(n, m34, 1); L(n, m34, 0, True, py=lambda x, a, r, n=n: getattr(lax, n)(x, a, reverse=r))
L("sort", f32(3, nan, 1, -inf)); L("sort", m34, 0); L("sortKeyVal", i32(3, 1, 2), f32(1, 2, 3)); L("topK", f32(3, 1, 4, 1, 5), 2); L("topK", m34, 1); L("topK", f32(nan, 1, inf, -1), 3); L("topK", i32(3, 1, 3), 2)
L("iota", "int32", 4); L("iota", "float32", 0); L("broadcastedIota", "int32", [2, 3], 1); L("full", [2], 1.5); L("fullLike", i23, 3)
L("associativeScan", Fn("lax.add"), m34); L("associativeScan", Fn("lax.mul"), f32(1, 2, 3, 4, 5, 6, 7)); L("associativeScan", Fn("lax.max"), m34, at=2, axis=1, reverse=True)
rw = lambda x, i, f, d, s, p, **k: lax.reduce_window(x, jnp.asarray(i, x.dtype), f, d, s, p if isinstance(p, str) else [tuple(q) for q in p], **k)
L("reduceWindow", R(6, 5), -inf, Fn("lax.max"), [2, 2], [2, 1], "VALID", py=rw); L("reduceWindow", R(6, 5), 0.0, Fn("lax.add"), [3, 2], [1, 2], "SAME", py=rw); L("reduceWindow", R(6), inf, Fn("lax.min"), [2], [1], [[1, 1]], py=rw); L("reduceWindow", R(6), 1.0, Fn("lax.mul"), [2], [1], [[1, 0]], py=rw); L("reduceWindow", R(6), 0.0, Fn("lax.add"), [2], [1], "VALID", at=6, py=rw, window_dilation=[2], base_dilation=[2])
cv = lambda l, r, s, p, **k: lax.conv_general_dilated(l, r, s, p if isinstance(p, str) else [tuple(q) for q in p], **{a: tuple(v) if isinstance(v, list) else v for a, v in k.items()})
L("convGeneralDilated", R(2, 3, 5, 5), R(4, 3, 2, 2), [1, 1], "VALID", py=cv); L("convGeneralDilated", R(2, 5, 5, 3), R(3, 3, 3, 4), [2, 1], "SAME", at=4, py=cv, dimension_numbers=["NHWC", "HWIO", "NHWC"]); L("convGeneralDilated", R(1, 4, 6), R(4, 2, 3), [1], [[1, 2]], at=4, py=cv, feature_group_count=2); L("convGeneralDilated", R(1, 2, 6), R(3, 2, 2), [1], [[2, 2]], at=4, py=cv, lhs_dilation=[2], rhs_dilation=[3]); L("convGeneralDilated", R(4, 2, 6), R(4, 2, 2), [1], "VALID", at=4, py=cv, batch_group_count=2); L("conv", R(1, 2, 4, 4), R(3, 2, 2, 2), [1, 1], "SAME", py=cv); L("convTranspose", R(1, 3, 3, 2), R(2, 2, 2, 3), [2, 2], "SAME"); L("convTranspose", R(1, 3, 2), R(4, 2, 3), [3], "VALID"); L("convTranspose", R(1, 3, 2), R(4, 3, 2), [2], "SAME", at=4, transpose_kernel=True)
L("convGeneralDilatedPatches", R(2, 3, 4, 5), [2, 3], [1, 2], "VALID", py=lambda x, f, s, p: lax.conv_general_dilated_patches(x, f, s, p)); L("convGeneralDilatedPatches", R(1, 4, 4, 2), [2, 2], [1, 1], "SAME", at=4, py=lambda x, f, s, p, dimension_numbers: lax.conv_general_dilated_patches(x, f, s, p, dimension_numbers=dimension_numbers), dimension_numbers=["NHWC", "HWIO", "NHWC"])
L("convWithGeneralPadding", R(1, 2, 5), R(3, 2, 2), [1], [[1, 1]], [2], [1], py=lambda l, r, s, p, a, b: lax.conv_with_general_padding(l, r, s, [tuple(q) for q in p], a, b))
L("indexTake", m34, Arrays([i32(0, 2), i32(1, 3)]), [0, 1], py=lambda x, i, a: lax.index_take(x, tuple(i), a)); L("indexTake", t234, Arrays([i32(1, 0, 1)]), [1], py=lambda x, i, a: lax.index_take(x, tuple(i), a)); L("broadcastToRank", m23, 4)
gn = lambda x, i, d, s, **k: lax.gather(x, i, lax.GatherDimensionNumbers(offset_dims=tuple(d["offsetDims"]), collapsed_slice_dims=tuple(d["collapsedSliceDims"]), start_index_map=tuple(d["startIndexMap"])), tuple(s), **k)
gd = {"offsetDims": [1], "collapsedSliceDims": [0], "startIndexMap": [0]}
L("gather", m34, i32([[0], [2]]), gd, [1, 4], py=gn)
for mode in "clip fill".split():
    L("gather", m34, i32([[5], [-1], [1]]), gd, [1, 4], at=4, py=gn, mode=mode); L("gather", m34, i32([[2, 3], [0, 1]]), {"offsetDims": [1, 2], "collapsedSliceDims": [], "startIndexMap": [0, 1]}, [2, 2], at=4, py=gn, mode=mode)
sn = lambda f: lambda x, i, u, d, **k: f(x, i, u, lax.ScatterDimensionNumbers(update_window_dims=tuple(d["updateWindowDims"]), inserted_window_dims=tuple(d["insertedWindowDims"]), scatter_dims_to_operand_dims=tuple(d["scatterDimsToOperandDims"])), **k)
sd = {"updateWindowDims": [1], "insertedWindowDims": [0], "scatterDimsToOperandDims": [0]}
for n, f in (("scatterAdd", lax.scatter_add), ("scatterMul", lax.scatter_mul), ("scatterMin", lax.scatter_min), ("scatterMax", lax.scatter_max), ("scatterSub", lax.scatter_sub), ("scatter", lax.scatter)):
    for mode in "clip fill".split():
        L(n, m34, i32([[0], [5], [-1], [0]]) if n != "scatter" else i32([[0], [5], [-1]]), R(4, 4) if n != "scatter" else R(3, 4), sd, at=4, py=sn(f), mode=mode)

# --- dtypes ---------------------------------------------------------------------------------------------------------
for d in "int8 uint8 int32 uint32 float32 float16 bfloat16 bool complex64".split():
    case("astype", f32(1.7, -2.5, 300, nan, inf, -inf), d) if d != "complex64" else case("astype", f32(1.5, -2), d)
    case("astype", i32(0, 300, -5), d); case("astype", b(True, False), d)
for d in "float32 float16 bfloat16".split():
    case("finfo", d, py=lambda d: {k: float(getattr(jnp.finfo(d), k)) for k in ("bits", "eps", "max", "min", "tiny", "nmant", "maxexp", "minexp")})
for d in "int8 int32 uint8 uint32".split():
    case("iinfo", d, py=lambda d: {k: int(getattr(jnp.iinfo(d), k)) for k in ("bits", "max", "min")})
names = "bool int8 int16 int32 uint8 uint16 uint32 float16 bfloat16 float32 complex64".split()
for p in names:
    for q in names:
        case("promoteTypes", p, q, py=lambda p, q: jnp.promote_types(p, q).name)

write("numpy.json", "transforms.json")
