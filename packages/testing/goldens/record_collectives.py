"""Records collectives over axes of vmap from JAX, for packages/vmap/src/collectives.test.ts.

    python record_collectives.py > collectives.json

Each case is a function of one member, run with vmap(axis_name="i"), or, with two names, by a vmap named "j" inside one named "i".
Recorded are the results and, where JAX has them, two gradients of the sum of the results weighted with cos(0), cos(1), ...:
of the function inside vmap (`inner`: a cotangent for each member) and of vmap of the function (`outer`). The functions of the
same names are in the test.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

jax.config.update("jax_enable_x64", True)
wave = lambda *shape: jnp.sin(jnp.arange(np.prod(shape), dtype=jnp.float64) + 1).reshape(shape)

ONE = {
    "psum": (lambda x: lax.psum(x * x, "i"), wave(3, 4)),
    "psum used": (lambda x: lax.psum(jnp.sin(x), "i") * x, wave(3)),
    "psum of a shared value": (lambda x: lax.psum(jnp.array([1.0, 2.0]), "i") * x[0], wave(3, 4)),
    "pmean": (lambda x: lax.pmean(x * x, "i") * x, wave(3, 4)),
    "pmax": (lambda x: lax.pmax(x, "i"), wave(3, 4)),
    "pmin": (lambda x: lax.pmin(x, "i"), wave(3, 4)),
    "axisIndex": (lambda x: x * lax.axis_index("i"), wave(3, 2)),
    "axisSize": (lambda x: x * lax.axis_size("i"), wave(3, 2)),
    "allGather": (lambda x: lax.all_gather(x * x, "i") * x, wave(3, 4)),
    "allGather axis 1": (lambda x: lax.all_gather(x * x, "i", axis=1), wave(3, 4, 2)),
    "allGather axis -1": (lambda x: lax.all_gather(x * x, "i", axis=-1), wave(3, 4, 2)),
    "allGather tiled": (lambda x: lax.all_gather(x * x, "i", tiled=True), wave(3, 4)),
    "allGather tiled axis 1": (lambda x: lax.all_gather(x * x, "i", axis=1, tiled=True), wave(3, 4, 2)),
    "allGather of a shared value": (lambda x: lax.all_gather(jnp.array([5.0]), "i") * x[0], wave(3, 4)),
    "psumScatter": (lambda x: lax.psum_scatter(x * x, "i") * x[0], wave(3, 3, 2)),
    "psumScatter dimension 1": (lambda x: lax.psum_scatter(x * x, "i", scatter_dimension=1), wave(3, 2, 3)),
    "psumScatter tiled": (lambda x: lax.psum_scatter(x * x, "i", tiled=True), wave(3, 6)),
    "psumScatter tiled dimension 1": (lambda x: lax.psum_scatter(x * x, "i", scatter_dimension=1, tiled=True), wave(3, 2, 6)),
    "allToAll 0 0": (lambda x: lax.all_to_all(x * x, "i", 0, 0), wave(3, 3, 2)),
    "allToAll 0 1": (lambda x: lax.all_to_all(x * x, "i", 0, 1), wave(3, 3, 2)),
    "allToAll 1 0": (lambda x: lax.all_to_all(x * x, "i", 1, 0), wave(3, 2, 3)),
    "allToAll tiled 0 0": (lambda x: lax.all_to_all(x * x, "i", 0, 0, tiled=True), wave(3, 6)),
    "allToAll tiled 0 1": (lambda x: lax.all_to_all(x * x, "i", 0, 1, tiled=True), wave(3, 6, 2)),
    "allToAll tiled 1 0": (lambda x: lax.all_to_all(x * x, "i", 1, 0, tiled=True), wave(3, 2, 6)),
    "ppermute": (lambda x: lax.ppermute(x * x, "i", [(0, 1), (1, 2), (2, 0)]) * x, wave(3, 4)),
    "pshuffle": (lambda x: lax.pshuffle(x * x, "i", [2, 0, 1]) * x, wave(3, 4)),
    "pswapaxes": (lambda x: lax.pswapaxes(x * x, "i", 1), wave(3, 2, 3)),
    "psum in scan": (lambda x: lax.scan(lambda c, _: (c + lax.psum(x * c, "i"), None), x, None, length=2)[0], wave(3)),
    "psum in while": (lambda x: lax.while_loop(lambda c: c < 20.0, lambda c: c + lax.psum(c, "i"), x + 2), wave(3)),
    "psum in the condition of while": (lambda x: lax.while_loop(lambda c: lax.psum(c, "i") < 20.0, lambda c: c * 2, x + 2), wave(3)),
    "psum in a branch": (lambda x: lax.cond(x > 0.5, lambda c: lax.psum(c, "i"), lambda c: c, x), wave(3)),
    "psum in jit": (lambda x: jax.jit(lambda y: lax.psum(y * y, "i") * y)(x), wave(3)),
}
TWO = {
    "psum over both": (lambda x: lax.psum(x * x, ("i", "j")), wave(2, 3)),
    "psum over the outer": (lambda x: lax.psum(x * x, "i"), wave(2, 3)),
    "psum over the inner": (lambda x: lax.psum(x * x, "j"), wave(2, 3)),
    "axisIndex of both": (lambda x: x * lax.axis_index(("i", "j")), wave(2, 3)),
    "axisIndex of both, reversed": (lambda x: x * lax.axis_index(("j", "i")), wave(2, 3)),
    "allGather over the outer": (lambda x: lax.all_gather(x * x, "i", axis=1), wave(2, 3, 4)),
    "allGather one after the other": (lambda x: lax.all_gather(lax.all_gather(x * x, "j"), "i"), wave(2, 3, 4)),
    "psumScatter over the outer": (lambda x: lax.psum_scatter(x * x, "i"), wave(2, 3, 2)),
    "allToAll over the outer": (lambda x: lax.all_to_all(x * x, "i", 0, 1), wave(2, 3, 2, 4)),
    "ppermute over the outer": (lambda x: lax.ppermute(x * x, "i", [(0, 1), (1, 0)]), wave(2, 3, 2)),
}


def weigh(y):
    return jnp.sum(y * jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))


def recorded(x):
    x = np.asarray(x, np.float64)
    return {"shape": list(x.shape), "data": [float(v) for v in x.ravel()]}


def attempt(f):
    # What JAX has no rule for, or fails at, is left out; the test then has a property of its own.
    try:
        return recorded(f())
    except Exception:
        return None


def record(f, x, over):
    return {
        "x": recorded(x),
        "value": recorded(over(f)(x)),
        "inner": attempt(lambda: over(jax.grad(lambda y: weigh(f(y))))(x)),
        "outer": attempt(lambda: jax.grad(lambda xs: weigh(over(f)(xs)))(x)),
    }


one = lambda f: jax.vmap(f, axis_name="i")
two = lambda f: jax.vmap(jax.vmap(f, axis_name="j"), axis_name="i")
print(
    json.dumps(
        {
            "jax": jax.__version__,
            "one": {name: record(f, x, one) for name, (f, x) in ONE.items()},
            "two": {name: record(f, x, two) for name, (f, x) in TWO.items()},
        },
        indent=None,
    )
)
