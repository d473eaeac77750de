"""Records shard_map and pmap from JAX on four CPU devices, for packages/pmap/src/goldens.test.ts.

    python record_shardmap.py > shardmap.json

Each case is a function of shards with its specs. Recorded are the result, the derivative along cos(1), cos(2), … (`jvp`), and the
gradients of the sum of the results weighted with cos(0), cos(1), … for all arguments (`grads`), for check_vma true and false where
JAX accepts them. Cases of pmap likewise; there the gradient is that of the function outside. The functions of the same names are in
the test.
"""

import json
import os
import sys

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec as P

jax.config.update("jax_enable_x64", True)
one = Mesh(np.array(jax.devices()), ("i",))
two = Mesh(np.array(jax.devices()).reshape(2, 2), ("a", "b"))
wave = lambda *shape: jnp.sin(jnp.arange(np.prod(shape), dtype=jnp.float64) + 1).reshape(shape)
tree = jax.tree_util


def ring(x):
    return lax.ppermute(x, "i", [(k, (k + 1) % 4) for k in range(4)])


def loss(w, x):
    return jnp.sum(jnp.sin(w * x))


def steps(x):
    return lax.scan(lambda c, y: (c + lax.psum(jnp.sin(c * y), "i"), c), jnp.float64(1), x)


def twisted(x):
    @jax.custom_vjp
    def f(y):
        return jnp.sin(y)

    f.defvjp(lambda y: (f(y), y), lambda y, ct: (2 * ct * jnp.cos(y),))
    return lax.psum(f(x) * x, "i")


# name: (function, mesh, in_specs, out_specs, arguments)
CASES = {
    "identity": (lambda x: x * x, one, (P("i"),), P("i"), (wave(8),)),
    "psum": (lambda x: lax.psum(x * x, "i"), one, (P("i"),), P(), (wave(8),)),
    "psum used": (lambda x: lax.psum(jnp.sin(x), "i") * x, one, (P("i"),), P("i"), (wave(8),)),
    "psum of a shared value": (lambda x: lax.psum(jnp.sin(x), "i"), one, (P(),), P(), (wave(3),)),
    "psum twice": (lambda x: lax.psum(jnp.sin(lax.psum(x, "i")) * x, "i"), one, (P("i"),), P(), (wave(8),)),
    "pmean": (lambda x: lax.pmean(x * x, "i") * x, one, (P("i"),), P("i"), (wave(8),)),
    "pmax": (lambda x: lax.pmax(x, "i"), one, (P("i"),), P(), (wave(8),)),
    "axisIndex": (lambda x: x * lax.axis_index("i"), one, (P("i"),), P("i"), (wave(8),)),
    "a shared weight": (lambda w, x: jnp.sin(w * x), one, (P(), P("i")), P("i"), (wave(1)[0], wave(8))),
    "a shared weight used twice": (lambda w, x: lax.psum(w * jnp.sin(w * x), "i"), one, (P(), P("i")), P(), (wave(1)[0], wave(8))),
    "mean loss": (lambda w, x: lax.pmean(loss(w, x), "i"), one, (P(), P("i")), P(), (wave(1)[0], wave(8))),
    "allGather": (lambda x: lax.all_gather(x * x, "i") * x, one, (P("i"),), P("i"), (wave(8),)),
    "allGather tiled": (lambda x: lax.all_gather(jnp.sin(x), "i", tiled=True), one, (P("i"),), P("i"), (wave(8),)),
    "allGather of a shared value": (lambda x: lax.all_gather(jnp.sin(x), "i"), one, (P(),), P("i"), (wave(3),)),
    "psumScatter": (lambda x: lax.psum_scatter(x * x, "i", tiled=True), one, (P(None, "i"),), P("i"), (wave(4, 8),)),
    "psumScatter of a shared value": (lambda x: lax.psum_scatter(x * x, "i", tiled=True), one, (P(),), P("i"), (wave(8),)),
    "allToAll": (lambda x: lax.all_to_all(jnp.sin(x), "i", 1, 0, tiled=True), one, (P("i"),), P(None, "i"), (wave(4, 8),)),
    "ppermute": (lambda x: ring(x * x) * x, one, (P("i"),), P("i"), (wave(8),)),
    "ppermute of a shared value": (lambda x: ring(x * x), one, (P(),), P("i"), (wave(3),)),
    "two axes": (lambda x: lax.psum(jnp.sin(x), ("a", "b")), two, (P("a", "b"),), P(), (wave(4, 4),)),
    "one of two axes": (lambda x: lax.psum(jnp.sin(x), "b") * 2.0, two, (P("a", "b"),), P("a"), (wave(4, 4),)),
    "one axis over two": (lambda x: jnp.sin(x) * (1.0 + lax.axis_index(("a", "b"))), two, (P(("a", "b")),), P(("a", "b")), (wave(8),)),
    "one axis over two, reversed": (lambda x: jnp.sin(x) * (1.0 + lax.axis_index(("a", "b"))), two, (P(("b", "a")),), P(("b", "a")), (wave(8),)),
    "product": (lambda x, y: lax.psum(x @ y, "b"), two, (P("a", "b"), P("b")), P("a"), (wave(4, 4), wave(4, 3))),
    "two layers": (
        lambda x, v, w: lax.psum(jnp.tanh(x @ v) @ w, "b"),
        two,
        (P("a"), P(None, "b"), P("b")),
        P("a"),
        (wave(4, 3), wave(3, 4), wave(4, 2)),
    ),
    "replicated over one": (lambda x: x * x, two, (P("a"),), P("a"), (wave(4),)),
    "several results": (lambda x: (lax.psum(x, "i"), jnp.sin(x)), one, (P("i"),), (P(), P("i")), (wave(8),)),
    "scan": (lambda x: lax.psum(steps(lax.psum(x, "i"))[0], "i"), one, (P("i"),), P(), (wave(8),)),
    "cond": (lambda x: lax.cond(lax.axis_index("i") > 1, lambda y: y * y, jnp.sin, x), one, (P("i"),), P("i"), (wave(8),)),
    "cond of a shared predicate": (
        lambda x: lax.cond(lax.psum(jnp.sum(x), "i") > 0, lambda y: lax.psum(y * y, "i"), lambda y: lax.psum(y, "i"), x),
        one,
        (P("i"),),
        P(),
        (wave(8),),
    ),
    "while": (lambda x: lax.while_loop(lambda c: lax.pmax(jnp.sum(c), "i") < 9.0, lambda c: c * 1.5 + 0.1, x + 1.0), one, (P("i"),), P("i"), (wave(8),)),
    "customVjp": (twisted, one, (P("i"),), P(), (wave(8),)),
    "checkpoint": (lambda x: lax.psum(jax.checkpoint(lambda y: jnp.sin(jnp.sin(y)))(x) * x, "i"), one, (P("i"),), P(), (wave(8),)),
    "jit inside": (lambda w, x: jax.jit(lambda v, y: lax.psum(jnp.sin(v * y), "i"))(w, x), one, (P(), P("i")), P(), (wave(1)[0], wave(8))),
    "vmap inside": (lambda w, x: jax.vmap(lambda y: lax.psum(w * y, "i"))(x), one, (P(), P("i")), P(), (wave(1)[0], wave(8, 2))),
    "grad inside of a shared weight": (lambda w, x: jax.grad(loss)(w, x), one, (P(), P("i")), P(), (wave(1)[0], wave(8))),
    "grad inside of the shard": (lambda w, x: jax.grad(loss, 1)(w, x), one, (P(), P("i")), P("i"), (wave(1)[0], wave(8))),
    "grad inside through psum": (
        lambda w, x: jax.grad(lambda v: jnp.sum(lax.psum(jnp.sin(v * x), "i") ** 2))(w),
        one,
        (P(), P("i")),
        P(),
        (wave(1)[0], wave(8)),
    ),
    "grad inside through psum of the shard": (
        lambda x: jax.grad(lambda y: jnp.sum(lax.psum(jnp.sin(y), "i") ** 2))(x),
        one,
        (P("i"),),
        P("i"),
        (wave(8),),
    ),
}

# name: (function, in_axes, out_axes, arguments)
PMAP = {
    "square": (lambda x: x * x, 0, 0, (wave(4, 3),)),
    "psum": (lambda x: lax.psum(x * x, "i"), 0, 0, (wave(4, 3),)),
    "psum, one result": (lambda x: lax.psum(x * x, "i"), 0, None, (wave(4, 3),)),
    "axes": (lambda x, y: x * y, (1, None), 1, (wave(3, 4), wave(3))),
    "a shared weight": (lambda w, x: jnp.sin(w * x), (None, 0), 0, (wave(1)[0], wave(4, 3))),
    "grad inside": (lambda w, x: lax.pmean(jax.grad(loss)(w, x), "i"), (None, 0), None, (wave(1)[0], wave(4, 3))),
    "grad inside through psum": (
        lambda w, x: jax.grad(lambda v: jnp.sum(lax.psum(jnp.sin(v * x), "i") ** 2))(w),
        (None, 0),
        0,
        (wave(1)[0], wave(4, 3)),
    ),
    "vmap inside": (lambda x: jax.vmap(lambda y: lax.psum(y, "i") * y)(x), 0, 0, (wave(4, 3),)),
}


def encode(x):
    return {"shape": list(x.shape), "data": [float(v) for v in np.asarray(x, np.float64).reshape(-1)]}


def weighted(outs):
    leaves = tree.tree_leaves(outs)
    return sum(jnp.sum(y * jnp.cos(jnp.arange(y.size, dtype=jnp.float64)).reshape(y.shape)) for y in leaves)


def attempted(g):
    """`None` for what JAX does not have, or refuses."""
    try:
        return g()
    except Exception as e:
        print(f"{type(e).__name__}: {str(e)[:120]!r}", file=sys.stderr)
        return None


def record(f, args):
    tangents = [jnp.cos(jnp.arange(x.size, dtype=jnp.float64) + 1).reshape(x.shape) for x in args]
    value = attempted(lambda: [encode(y) for y in tree.tree_leaves(f(*args))])
    if value is None:
        return None
    return {
        "value": value,
        "jvp": attempted(lambda: [encode(y) for y in tree.tree_leaves(jax.jvp(f, tuple(args), tuple(tangents))[1])]),
        "grads": attempted(lambda: [encode(g) for g in jax.grad(lambda *a: weighted(f(*a)), tuple(range(len(args))))(*args)]),
    }


out = {"shardMap": {}, "pmap": {}}
for name, (f, mesh, ins, outs, args) in CASES.items():
    case = {"args": [encode(x) for x in args]}
    for check in (True, False):
        print(name, check, file=sys.stderr)
        case["checked" if check else "unchecked"] = record(
            jax.shard_map(f, mesh=mesh, in_specs=ins, out_specs=outs, check_vma=check), args
        )
    out["shardMap"][name] = case
for name, (f, ins, outs, args) in PMAP.items():
    print("pmap", name, file=sys.stderr)
    out["pmap"][name] = {"args": [encode(x) for x in args], "mapped": record(jax.pmap(f, axis_name="i", in_axes=ins, out_axes=outs), args)}
lines = lambda cases: ",\n".join(f"{json.dumps(name)}: {json.dumps(case)}" for name, case in cases.items())
print(f'{{"jax": "{jax.__version__}", "shardMap": {{\n{lines(out["shardMap"])}\n}}, "pmap": {{\n{lines(out["pmap"])}\n}}}}')
