"""Records JAX's type promotion table and Threefry streams. Run: python record_core.py (JAX 0.10, CPU)."""

import itertools
import json
import os

import jax
import jax.numpy as jnp
import numpy as np

STRONG = ["bool", "int8", "int16", "int32", "uint8", "uint16", "uint32", "float16", "bfloat16", "float32", "complex64"]
WEAK = {"weak int32": 1, "weak float32": 1.0, "weak complex64": 1j}


def value(name):
    return WEAK[name] if name in WEAK else jnp.zeros((2,), name)


def promotion():
    table = {}
    for a, b in itertools.product([*STRONG, *WEAK], repeat=2):
        out = jax.eval_shape(lambda: jnp.add(value(a), value(b))) if not (a in WEAK and b in WEAK) else None
        if out is None:
            x = jnp.add(value(a), value(b))
            out = jax.eval_shape(lambda: x)
            table[f"{a} {b}"] = [str(x.dtype), bool(x.aval.weak_type)]
        else:
            table[f"{a} {b}"] = [str(out.dtype), bool(out.weak_type)]
    return table


def flat(x):
    x = np.asarray(x)
    return {"shape": list(x.shape), "dtype": str(x.dtype), "values": [v.item() for v in x.ravel()]}


def raw(key):
    return flat(jax.random.key_data(key))


def threefry():
    r = jax.random
    key = r.key(42)
    out = {
        "key": {str(s): raw(r.key(s)) for s in [0, 1, 42, -1, 2**31 - 1, 2**32 - 1]},
        "split": {str(n): raw(r.split(key, n)) for n in [1, 2, 3, 5]},
        "split 2x3": raw(r.split(key, (2, 3))),
        "foldIn": {str(n): raw(r.fold_in(key, n)) for n in [0, 1, 7, 123456]},
        "bits": {d: flat(r.bits(key, (7,), d)) for d in ["uint8", "uint16", "uint32"]},
        "bits 3x5": flat(r.bits(key, (3, 5))),
        "bits scalar": flat(r.bits(key)),
        "uniform": flat(r.uniform(key, (9,))),
        "uniform -2 5": flat(r.uniform(key, (9,), minval=-2.0, maxval=5.0)),
        "uniform float16": flat(r.uniform(key, (9,), "float16").astype("float32")),
        "uniform bfloat16": flat(r.uniform(key, (9,), "bfloat16").astype("float32")),
        "normal": flat(r.normal(key, (11,))),
        "truncatedNormal": flat(r.truncated_normal(key, -1.0, 2.0, (9,))),
        "exponential": flat(r.exponential(key, (9,))),
        "gumbel": flat(r.gumbel(key, (9,))),
        "laplace": flat(r.laplace(key, (9,))),
        "logistic": flat(r.logistic(key, (9,))),
        "rademacher": flat(r.rademacher(key, (9,))),
        "bernoulli": flat(r.bernoulli(key, 0.3, (16,))),
        "randint 0 10": flat(r.randint(key, (16,), 0, 10)),
        "randint -5 1000": flat(r.randint(key, (16,), -5, 1000)),
        "randint uint8": flat(r.randint(key, (16,), 0, 256, "uint8")),
        "randint empty": flat(r.randint(key, (4,), 5, 5)),
        "permutation 17": flat(r.permutation(key, 17)),
        "permutation rows": flat(r.permutation(key, jnp.arange(12.0).reshape(6, 2))),
        "permutation independent": flat(r.permutation(key, jnp.arange(12.0).reshape(6, 2), independent=True)),
        "choice 10": flat(r.choice(key, 10, (8,))),
        "choice no replace": flat(r.choice(key, 10, (8,), replace=False)),
        "choice p": flat(r.choice(key, 5, (12,), p=jnp.array([0.1, 0.2, 0.3, 0.15, 0.25]))),
        "choice p no replace": flat(r.choice(key, 5, (3,), replace=False, p=jnp.array([0.1, 0.2, 0.3, 0.15, 0.25]))),
        "categorical": flat(r.categorical(key, jnp.log(jnp.array([[0.1, 0.6, 0.3], [0.5, 0.25, 0.25]])))),
        "multivariateNormal": flat(r.multivariate_normal(key, jnp.array([1.0, -2.0]), jnp.array([[2.0, 0.5], [0.5, 1.0]]), (4,))),
        "orthogonal": flat(r.orthogonal(key, 4)),
        "orthogonal 4x2": flat(r.orthogonal(key, 4, (2,), m=2)),
        "orthogonal 2x3": flat(r.orthogonal(key, 2, m=3)),
        "categorical 5": flat(r.categorical(key, jnp.array([0.0, 1.0, 2.0]), shape=(5,))),
    }
    jax.config.update("jax_enable_x64", True)
    out["key 64"] = {str(s): raw(r.key(s)) for s in [2**32 + 5, 2**40 + 123, -(2**33)]}
    out["bits"]["uint64"] = {k: v if k != "values" else [str(x) for x in v] for k, v in flat(r.bits(key, (5,), "uint64")).items()}
    out["uniform float64"] = flat(r.uniform(key, (5,), "float64"))
    out["normal float64"] = flat(r.normal(key, (5,), "float64"))
    return out


here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "core.json"), "w") as f:
    json.dump({"jax": jax.__version__, "promotion": promotion(), "random": threefry()}, f, separators=(",", ":"))
