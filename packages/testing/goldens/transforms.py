"""Derivatives and batching of a recorded case, as JAX computes them. Used by record_numpy.py."""

import jax
import jax.numpy as jnp
import numpy as np


def cotangent(shape, dtype):
    """What every float result is weighted with: distinct values, so that no two elements can be swapped unnoticed."""
    return jnp.cos(0.7 * jnp.arange(np.prod(shape, dtype=int)) + 0.3).astype(dtype).reshape(shape)


def is_float(x):
    return isinstance(x, (jax.Array, np.ndarray)) and jnp.issubdtype(x.dtype, jnp.floating)


def float_parts(results):
    """Every float result; the real and the imaginary part of a complex one."""
    for o in jax.tree.leaves(results):
        if is_float(o):
            yield o
        elif isinstance(o, (jax.Array, np.ndarray)) and jnp.issubdtype(o.dtype, jnp.complexfloating):
            yield from (jnp.real(o), jnp.imag(o))


def float_leaves(args):
    """Positions of the float32 arrays among the leaves of the arguments; small ones, away from NaN and infinity."""
    leaves, tree = jax.tree.flatten(args)
    usable = [i for i, x in enumerate(leaves) if isinstance(x, jax.Array) and x.dtype == np.float32 and 0 < x.size <= 64 and np.isfinite(x).all()]
    return leaves, tree, usable


def record(fn, args):
    """{"g": [gradient of each float leaf], "m": [[leaf, axis, result of vmap over it]]}, or None. `fn` takes jax arrays."""
    leaves, tree, usable = float_leaves(args)
    if not usable:
        return None

    def call(floats):
        filled = list(leaves)
        for i, x in zip(usable, floats):
            filled[i] = x
        return fn(*jax.tree.unflatten(tree, filled))

    def weighted(floats):
        return sum(jnp.sum(o * cotangent(o.shape, o.dtype)) for o in float_parts(call(floats)))

    floats = [leaves[i] for i in usable]
    entry = {}
    try:
        outs = jax.tree.leaves(jax.eval_shape(call, floats))
        if any(jnp.issubdtype(o.dtype, jnp.inexact) for o in outs):
            grads = jax.grad(weighted)(floats)
            entry["g"] = grads
    except Exception:
        # Not differentiable, or not traceable: the values alone are recorded.
        pass
    batched = []
    for k, x in enumerate(floats):
        axis = k % (x.ndim + 1)
        stacked = jnp.stack([x, x * 0.5 + 0.125, x[::-1] if x.ndim > 0 else -x], axis)
        try:
            result = jax.vmap(lambda y: call([y if j == k else f for j, f in enumerate(floats)]), in_axes=axis)(stacked)
            batched.append([k, axis, result])
        except Exception:
            pass
    if batched:
        entry["m"] = batched
    return entry or None
