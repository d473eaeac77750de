"""Records values and derivatives of small functions from JAX, for packages/grad/src/goldens.test.ts.

    python record_grad.py > grad.json

Every function is recorded at one point in float64: its result, the cotangents that vjp gives for the cotangent
cos(0), cos(1), ... and, where it has one, the tangent that jvp gives for the tangents sin(1), sin(2), ... The functions
of the same names are in the test. Edge cases (ties, zeros, infinities, out-of-bounds indices) are what this is for.
"""
import json
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

jax.config.update("jax_enable_x64", True)
f64 = lambda *xs: np.array(xs, np.float64)
i32 = lambda *xs: np.array(xs, np.int32)
A = np.arange(6, dtype=np.float64).reshape(2, 3) / 3 - 0.7
B = np.sin(np.arange(12, dtype=np.float64)).reshape(3, 4)
V = f64(0.3, -1.2, 0.0, 2.0)
P = f64(0.1, 0.5, 1.0, 2.5)
inf = np.inf

CASES = {}


def case(name, fn, *args):
    CASES[name] = (fn, args)


def unary(name, x):
    case(name, getattr(lax, name), x)


for name in ["neg", "exp", "exp2", "expm1", "sin", "cos", "atan", "sinh", "cosh", "tanh", "asinh", "logistic", "erf", "erfc", "square", "sign", "floor", "ceil"]:
    unary(name, V)
for name in ["log", "log1p", "sqrt", "rsqrt", "cbrt", "lgamma", "digamma", "bessel_i0e", "bessel_i1e"]:
    unary(name, P)
for name in ["asin", "acos", "atanh", "erf_inv", "tan"]:
    unary(name, f64(-0.7, 0.0, 0.3, 0.9))
unary("acosh", f64(1.5, 2.0, 4.0))
case("sqrt at zero", lax.sqrt, f64(0.0, 1.0))
case("log at zero", lax.log, f64(0.0, 1.0))
case("cbrt of negative", lax.cbrt, f64(-8.0, -1.0))
case("abs", lax.abs, f64(-2.0, 3.0))
case("bessel at zero", lambda x: lax.bessel_i0e(x) + lax.bessel_i1e(x), f64(0.0, -1.0))
case("relu", lambda x: lax.max(x, 0.0), V)
case("round", lax.round, V)
case("tanh large", lax.tanh, f64(-30.0, 30.0))
case("logistic large", lax.logistic, f64(-40.0, 40.0))
for y in [-2, -1, 0, 1, 2, 3, 5]:
    case(f"integer_pow {y}", lambda x, y=y: lax.integer_pow(x, y), f64(0.5, -2.0, 3.0))
case("integer_pow 2 at zero", lambda x: lax.integer_pow(x, 2), f64(0.0))
case("pow", lax.pow, f64(0.5, 2.0, 3.0), f64(2.0, -1.0, 0.5))
case("pow at zero base", lax.pow, f64(0.0, 0.0, 0.0), f64(2.0, 1.0, 3.0))
case("pow zero exponent", lax.pow, f64(2.0, 3.0), f64(0.0, 0.0))
case("pow integer exponent", lambda x: lax.pow(x, i32(0, 1, 3, -2)), f64(0.0, 2.0, -2.0, 3.0))
case("add", lax.add, V, P)
case("sub", lax.sub, V, P)
case("mul", lax.mul, V, P)
case("div", lax.div, V, P)
case("div by zero", lax.div, f64(1.0, 0.0), f64(0.0, 2.0))
case("rem", lax.rem, f64(5.0, -5.0, 7.5), f64(3.0, 3.0, -2.0))
case("max ties", lax.max, f64(1.0, 2.0, 3.0), f64(2.0, 2.0, 2.0))
case("min ties", lax.min, f64(1.0, 2.0, 3.0), f64(2.0, 2.0, 2.0))
case("atan2", lax.atan2, f64(1.0, -1.0, 0.5), f64(2.0, -3.0, -0.5))
case("igamma", lambda x: lax.igamma(f64(1.5, 2.0), x), f64(0.7, 3.0))
case("igammac", lambda x: lax.igammac(f64(1.5, 2.0), x), f64(0.7, 3.0))
case("betainc", lambda x: lax.betainc(f64(1.5, 2.0), f64(0.5, 3.0), x), f64(0.3, 0.6))
case("clamp", lambda a, x, b: lax.clamp(a, x, b), f64(-1.0, -1.0, -1.0, -1.0, -1.0), f64(-2.0, -1.0, 0.5, 1.0, 3.0), f64(1.0, 1.0, 1.0, 1.0, 1.0))
case("select", lambda x, y: lax.select(np.array([True, False, True]), x, y), f64(1.0, 2.0, 3.0), f64(4.0, 5.0, 6.0))
case("where double trick", lambda x: jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1.0)), 0.0), f64(-1.0, 4.0))
case("where naive", lambda x: jnp.where(x > 0, jnp.sqrt(x), 0.0), f64(-1.0, 0.0, 4.0))
case("stop_gradient", lambda x: x * lax.stop_gradient(x), V)
case("convert", lambda x: lax.convert_element_type(lax.convert_element_type(x, np.float32), np.float64), f64(0.5, 2.0))
# Shapes
case("broadcast_in_dim", lambda x: lax.broadcast_in_dim(x, (2, 3, 2), (1,)), f64(1.0, 2.0, 3.0))
case("broadcast size one", lambda x: lax.broadcast_in_dim(x, (2, 3), (0, 1)), f64(1.0, 2.0).reshape(2, 1))
case("reshape", lambda x: lax.reshape(x, (3, 2)), A)
case("transpose", lambda x: lax.transpose(x, (1, 0)), A)
case("rev", lambda x: lax.rev(x, (1,)), A)
case("squeeze", lambda x: lax.squeeze(x, (0,)), A.reshape(1, 2, 3))
case("pad", lambda x, v: lax.pad(x, v, [(1, 2, 1), (-1, 1, 0)]), A, np.float64(0.5))
case("concatenate", lambda x, y: lax.concatenate([x, y, x], 1), A, A[:, :1])
case("slice", lambda x: lax.slice(x, (0, 1), (2, 3), (1, 2)), A)
case("dynamic_slice clamped", lambda x: lax.dynamic_slice(x, (np.int32(1), np.int32(5)), (1, 2)), A)
case("dynamic_update_slice clamped", lambda x, u: lax.dynamic_update_slice(x, u, (np.int32(1), np.int32(5))), A, f64(7.0, 8.0).reshape(1, 2))
# Reductions
case("reduce_sum", lambda x: lax.reduce_sum(x, (0,)), A)
case("reduce_prod", lambda x: lax.reduce_prod(x, (1,)), A)
case("reduce_prod one zero", lambda x: lax.reduce_prod(x, (0,)), f64(2.0, 0.0, 3.0))
case("reduce_prod two zeros", lambda x: lax.reduce_prod(x, (0,)), f64(0.0, 0.0, 3.0))
case("reduce_max ties", lambda x: lax.reduce_max(x, (0,)), f64(1.0, 3.0, 3.0, 2.0))
case("reduce_min ties", lambda x: lax.reduce_min(x, (0,)), f64(1.0, 1.0, 3.0, 1.0))
case("reduce_max axes", lambda x: lax.reduce_max(x, (0, 1)), A)
case("cumsum", lambda x: lax.cumsum(x, 0), V)
case("cumsum reverse", lambda x: lax.cumsum(x, 1, reverse=True), A)
case("cumprod zero", lambda x: lax.cumprod(x, 0), f64(2.0, 0.0, 3.0, 4.0))
case("cumprod reverse", lambda x: lax.cumprod(x, 0, reverse=True), P)
case("cummax", lambda x: lax.cummax(x, 0), f64(1.0, 3.0, 2.0, 5.0, 4.0))
case("cummin reverse", lambda x: lax.cummin(x, 0, reverse=True), f64(1.0, 3.0, 2.0, 5.0, 4.0))
case("cumlogsumexp", lambda x: lax.cumlogsumexp(x, 0), V)
case("logsumexp", lambda x: jax.nn.logsumexp(x), f64(1000.0, 1000.0, 0.0))
case("sort", lambda x: lax.sort(x), f64(3.0, 1.0, 2.0, 1.0))
case("sort key value", lambda k, v: lax.sort((k, v), num_keys=1)[1], f64(3.0, 1.0, 2.0), f64(10.0, 20.0, 30.0))
case("top_k", lambda x: lax.top_k(x, 2)[0], f64(3.0, 1.0, 4.0, 2.0))
# Contractions
case("dot", lambda x, y: lax.dot(x, y), A, B)
case("dot vectors", lambda x, y: lax.dot(x, y), V, P)
case("dot_general batch", lambda x, y: lax.dot_general(x, y, (((2,), (1,)), ((0,), (2,)))), B.reshape(2, 3, 2), np.cos(np.arange(12.0)).reshape(3, 2, 2))
X = np.sin(np.arange(32.0)).reshape(1, 2, 4, 4)
K = np.cos(np.arange(16.0)).reshape(2, 2, 2, 2)
case("conv", lambda x, k: lax.conv_general_dilated(x, k, (1, 1), "SAME"), X, K)
case("conv strided dilated", lambda x, k: lax.conv_general_dilated(x, k, (2, 1), [(1, 0), (0, 2)], lhs_dilation=(1, 2), rhs_dilation=(2, 1)), X, K)
case("conv grouped", lambda x, k: lax.conv_general_dilated(x, k, (1, 1), "VALID", feature_group_count=2), X, K[:, :1])
case("conv batch grouped", lambda x, k: lax.conv_general_dilated(x, k, (1, 1), "VALID", batch_group_count=2), X.reshape(2, 1, 4, 4), K[:, :1])
case("sum pool", lambda x: lax.reduce_window(x, 0.0, lax.add, (1, 1, 2, 2), (1, 1, 2, 1), "SAME"), X)
case("max pool", lambda x: lax.reduce_window(x, -inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID"), X)
case("max pool overlapping", lambda x: lax.reduce_window(x, -inf, lax.max, (1, 1, 3, 2), (1, 1, 1, 2), "SAME"), X)
case("max pool ties", lambda x: lax.reduce_window(x, -inf, lax.max, (2,), (2,), "VALID"), f64(1.0, 1.0, 2.0, 2.0))
# Indexing
G = lax.GatherDimensionNumbers((), (0,), (0,))
S = lax.ScatterDimensionNumbers((), (0,), (0,))
col = lambda *xs: i32(*xs).reshape(-1, 1)
case("gather clip", lambda x: lax.gather(x, col(0, 9, -3, 1), G, (1,), mode="clip"), V)
case("gather fill", lambda x: lax.gather(x, col(0, 9, 1, 1), G, (1,), mode="fill", fill_value=7.0), V)
case("scatter_add", lambda x, u: lax.scatter_add(x, col(1, 1, 9), u, S, mode="drop"), V, f64(1.0, 2.0, 3.0))
case("scatter", lambda x, u: lax.scatter(x, col(1, 3, 9), u, S, mode="drop"), V, f64(1.0, 2.0, 3.0))
case("scatter_mul unique", lambda x, u: lax.scatter_mul(x, col(1, 3), u, S, unique_indices=True), V, f64(2.0, 3.0))
case("scatter_max", lambda x, u: lax.scatter_max(x, col(1, 3, 3), u, S), V, f64(1.0, 2.5, 3.0))
case("scatter_min ties", lambda x, u: lax.scatter_min(x, col(1, 1), u, S), V, f64(-3.0, -3.0))
# Control flow
case("scan", lambda w, xs: lax.scan(lambda c, x: (jnp.sin(c * w + x), c * x), 0.5 * w, xs)[1], np.float64(0.7), V)
case("scan carry", lambda w, xs: lax.scan(lambda c, x: (jnp.tanh(c * w + x), None), 0.5 * w, xs, reverse=True)[0], np.float64(0.7), V)
case("cond", lambda x: lax.cond(x > 0, jnp.sin, jnp.exp, x), np.float64(0.4))
case("switch", lambda x: lax.switch(2, [jnp.sin, jnp.exp, lambda y: y * y], x), np.float64(0.4))
case("fori_loop", lambda x: lax.fori_loop(0, 4, lambda i, v: jnp.sin(v) * x + i, x), np.float64(0.4))
case("while", lambda x: lax.while_loop(lambda v: v < 10.0, lambda v: v * v * x, x), np.float64(1.7))
case("checkpoint", jax.checkpoint(lambda x: jnp.sin(jnp.sin(x) * x)), V)
case("jit", jax.jit(lambda x, y: x * jnp.sin(y)), V, P)

FORWARD_ONLY = {"while"}


def encode(x):
    x = np.asarray(x, np.float64)
    flat = [v if np.isfinite(v) else str(v) for v in x.ravel().tolist()]
    return {"shape": list(x.shape), "data": flat}


def wave(f, shape, start):
    size = int(np.prod(shape))
    return f(np.arange(start, start + size, dtype=np.float64)).reshape(shape)


out = {}
for name, (fn, args) in CASES.items():
    args = tuple(jnp.asarray(a) for a in args)
    value = fn(*args)
    record = {"args": [encode(a) for a in args], "value": encode(value)}
    tangents = tuple(jnp.asarray(wave(np.sin, a.shape, 1)) for a in args)
    record["jvp"] = encode(jax.jvp(fn, args, tangents)[1])
    if name not in FORWARD_ONLY:
        record["vjp"] = [encode(g) for g in jax.vjp(fn, *args)[1](jnp.asarray(wave(np.cos, value.shape, 0)))]
        scalar = lambda *xs: jnp.sum(fn(*xs) * wave(np.cos, value.shape, 0))
        record["hvp"] = encode(jax.jvp(jax.grad(scalar), args, tangents)[1])
    record["vmap"] = encode(jax.vmap(fn)(*(jnp.stack([a, a * 1.1]) for a in args)))
    out[name] = record
print(json.dumps({"jax": jax.__version__, "cases": out}, indent=None, separators=(",", ":")))
