"""Records jax.nn and Optax. Run: python record_libraries.py (JAX 0.10, Optax, CPU)."""

import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import optax


def flat(x):
    x = np.asarray(x)
    return {"shape": list(x.shape), "dtype": str(x.dtype), "values": [repr(v.item()) if not np.isfinite(v) else v.item() for v in x.ravel()]}


x = jnp.array([[-30.0, -7.0, -2.5, -1.0, -0.3, -0.0], [0.0, 0.2, 1.0, 3.5, 6.0, 50.0]])
m = jnp.array([[1.0, 2.0, -1.0], [1000.0, 1000.5, 999.0], [-jnp.inf, 0.0, 1.0]])
q = jnp.sin(jnp.arange(2 * 5 * 4 * 3.0)).reshape(2, 5, 4, 3)
k = jnp.cos(jnp.arange(2 * 7 * 4 * 3.0)).reshape(2, 7, 4, 3)
v = jnp.sin(jnp.arange(2 * 7 * 4 * 3.0) * 0.7).reshape(2, 7, 4, 3)
mask = (jnp.arange(7) % 3 != 0)[None, None, None, :]


def nn():
    n = jax.nn
    unary = {
        "relu": n.relu, "relu6": n.relu6, "sigmoid": n.sigmoid, "tanh": n.tanh, "softplus": n.softplus, "logSigmoid": n.log_sigmoid,
        "silu": n.silu, "swish": n.swish, "softSign": n.soft_sign, "elu": n.elu, "celu": n.celu, "selu": n.selu, "leakyRelu": n.leaky_relu,
        "gelu": n.gelu, "hardSigmoid": n.hard_sigmoid, "hardSilu": n.hard_silu, "hardSwish": n.hard_swish, "hardTanh": n.hard_tanh,
        "mish": n.mish, "squareplus": n.squareplus,
    }
    out = {name: {"value": flat(f(x)), "grad": flat(jax.vmap(jax.vmap(jax.grad(f)))(x))} for name, f in unary.items()}
    out["gelu exact"] = {"value": flat(n.gelu(x, approximate=False))}
    out["glu"] = {"value": flat(n.glu(x))}
    for name, f in {"softmax": n.softmax, "logSoftmax": n.log_softmax, "logsumexp": n.logsumexp}.items():
        out[name] = {"value": flat(f(m, axis=-1)), "grad": flat(jax.grad(lambda t: jnp.sum(jnp.sin(f(t, axis=-1))))(m[:2]))}
        out[name + " axis 0"] = {"value": flat(f(m, axis=0))}
    out["logsumexp all"] = {"value": flat(n.logsumexp(m))}
    out["softmax where"] = {"value": flat(n.softmax(m, where=jnp.array([True, False, True])))}
    out["standardize"] = {"value": flat(n.standardize(x, epsilon=1e-5))}
    out["oneHot"] = {"value": flat(n.one_hot(jnp.array([0, 2, 5, -1]), 4))}
    out["oneHot axis 0"] = {"value": flat(n.one_hot(jnp.array([[0, 2, 1]]), 4, axis=0))}
    out["attention"] = {"value": flat(n.dot_product_attention(q, k, v))}
    out["attention causal"] = {"value": flat(n.dot_product_attention(q, k[:, :5], v[:, :5], is_causal=True))}
    out["attention mask"] = {"value": flat(n.dot_product_attention(q, k, v, mask=mask))}
    out["attention grouped"] = {"value": flat(n.dot_product_attention(q, k[:, :, :2], v[:, :, :2], scale=0.3))}
    key = jax.random.key(7)
    i = n.initializers
    inits = {
        "zeros": i.zeros, "ones": i.ones, "constant": i.constant(0.5), "uniform": i.uniform(), "normal": i.normal(), "truncatedNormal": i.truncated_normal(),
        "glorotUniform": i.glorot_uniform(), "glorotNormal": i.glorot_normal(), "heUniform": i.he_uniform(), "heNormal": i.he_normal(),
        "lecunUniform": i.lecun_uniform(), "lecunNormal": i.lecun_normal(),
    }
    out["initializers"] = {name: flat(f(key, (3, 4), jnp.float32)) for name, f in inits.items()}
    return out


def optimizers():
    params = {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.array([0.1, -0.2])}
    # Conventional optimization targets: a quadratic bowl whose gradient depends on the parameters.
    grads = lambda p: jax.tree.map(lambda a: 2 * a + jnp.sin(a), p)
    cases = {
        "sgd": optax.sgd(0.1),
        "sgd momentum": optax.sgd(0.1, momentum=0.9),
        "sgd nesterov": optax.sgd(0.1, momentum=0.9, nesterov=True),
        "adam": optax.adam(0.05),
        "adam epsRoot": optax.adam(0.05, b1=0.8, b2=0.99, eps=1e-6, eps_root=1e-8),
        "adamw": optax.adamw(0.05, weight_decay=0.1),
        "clip": optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.5)),
        "schedule": optax.adam(optax.cosine_decay_schedule(0.1, 4, 0.1)),
    }
    out = {}
    for name, opt in cases.items():
        p, s = params, opt.init(params)
        steps = []
        for _ in range(6):
            u, s = opt.update(grads(p), s, p)
            p = optax.apply_updates(p, u)
            steps.append({"w": flat(p["w"]), "b": flat(p["b"])})
        out[name] = steps
    counts = list(range(0, 13))
    schedules = {
        "constant": optax.constant_schedule(0.3),
        "linear": optax.linear_schedule(1.0, 0.1, 8, 2),
        "polynomial": optax.polynomial_schedule(1.0, 0.1, 2.5, 8, 1),
        "exponential": optax.exponential_decay(1.0, 4, 0.5),
        "exponential staircase": optax.exponential_decay(1.0, 4, 0.5, transition_begin=2, staircase=True, end_value=0.2),
        "cosine": optax.cosine_decay_schedule(1.0, 10, 0.1),
        "warmup cosine": optax.warmup_cosine_decay_schedule(0.1, 1.0, 4, 12, 0.05),
        "piecewise": optax.piecewise_constant_schedule(1.0, {3: 0.5, 8: 0.1}),
        "join": optax.join_schedules([optax.constant_schedule(0.1), optax.linear_schedule(1.0, 0.0, 5)], [4]),
    }
    return out, {name: [float(s(jnp.int32(c))) for c in counts] for name, s in schedules.items()}


steps, schedules = optimizers()
here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "libraries.json"), "w") as f:
    json.dump({"jax": jax.__version__, "optax": optax.__version__, "nn": nn(), "optimizers": steps, "schedules": schedules}, f, separators=(",", ":"))
