"""JAX on the CPU for the same cases: reads the inputs that run.ts wrote, prints one JSON object with medians in ms."""

import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

LAYERS = [784, 512, 512, 10]


def mlp(inputs):
    def loss(p, x, y):
        h1 = jax.nn.relu(x @ p["w0"] + p["b0"])
        h2 = jax.nn.relu(h1 @ p["w1"] + p["b1"])
        return -jnp.mean(jnp.sum(jax.nn.log_softmax(h2 @ p["w2"] + p["b2"]) * y, -1))

    def step(p, m, v, x, y):
        value, g = jax.value_and_grad(loss)(p, x, y)
        m = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, m, g)
        v = jax.tree.map(lambda a, b: 0.999 * a + 0.001 * b * b, v, g)
        p = jax.tree.map(lambda a, mu, nu: a - 1e-3 * (mu / 0.1) / (jnp.sqrt(nu / 0.001) + 1e-8), p, m, v)
        return p, m, v, value

    p = {k: inputs[k] for k in ["w0", "b0", "w1", "b1", "w2", "b2"]}
    z = jax.tree.map(jnp.zeros_like, p)
    return step, (p, z, z, inputs["x"], inputs["y"])


def lstm(inputs):
    def loss(w, b, xs):
        def cell(carry, x):
            h, c = carry
            i, f, g, o = jnp.split(x @ w[:64] + h @ w[64:] + b, 4)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        zero = jnp.zeros(64)
        return jnp.mean(jnp.square(jax.lax.scan(cell, (zero, zero), xs)[1]))

    return jax.value_and_grad(loss, argnums=(0, 1)), (inputs["w"], inputs["b"], inputs["x"])


def attention(i):
    def f(q, k, v):
        q, k, v = (jnp.swapaxes(t, 0, 1) for t in (q, k, v))
        return jnp.swapaxes(jax.nn.dot_product_attention(q, k, v, is_causal=True), 0, 1)

    return f, (i["q"], i["k"], i["v"])


def layer_norm(i):
    def f(x, g, b):
        return jax.nn.standardize(x, axis=-1, epsilon=1e-5) * g + b

    return f, (i["x"], i["g"], i["b"])


def matmul(i):
    return jnp.matmul, (i["a"], i["b"])


def conv(x, w):
    return jax.lax.conv_general_dilated(x, w, (1, 1), "SAME")


def conv_gradient(argnum):
    def f(x, w, r):
        return jax.grad(lambda *a: jnp.sum(conv(*a) * r), argnum)(x, w)

    return lambda i: (f, (i["x"], i["w"], i["r"]))


CASES = {
    "matmul 512": matmul,
    "matmul 1024": matmul,
    "matmul 2048": matmul,
    "elementwise chain with tanh 4M": lambda i: (lambda x: jnp.tanh(x * 0.5 + 1) * x + jnp.exp(x * -0.25), (i["x"],)),
    "softmax 1024x1024": lambda i: (jax.nn.softmax, (i["x"],)),
    "layer norm 4096x1024": layer_norm,
    "attention causal 8x512x64": attention,
    "sum 1M": lambda i: (jnp.sum, (i["x"],)),
    "conv 3x3 8x64x56x56": lambda i: (conv, (i["x"], i["w"])),
    "conv 3x3 8x64x56x56, gradient of the image": conv_gradient(0),
    "conv 3x3 8x64x56x56, gradient of the filter": conv_gradient(1),
    "sort 1M": lambda i: (jnp.sort, (i["x"],)),
    "cumsum 1M": lambda i: (jnp.cumsum, (i["x"],)),
    "fft 65536 complex": lambda i: (lambda a, b: jnp.fft.fft(a + 1j * b), (i["re"], i["im"])),
    "mlp adam step": mlp,
    "lstm-64 256 steps value and grad": lstm,
    "jitted call, tiny": lambda i: (lambda a, b: a * 2 + b, (i["a"], i["b"])),
}


def median_ms(f, args, repeat):
    samples = []
    deadline = time.perf_counter() + 1.5
    while len(samples) < 5 or (time.perf_counter() < deadline and len(samples) < 50):
        start = time.perf_counter()
        for _ in range(repeat):
            out = f(*args)
        jax.block_until_ready(out)
        samples.append((time.perf_counter() - start) * 1e3 / repeat)
    return float(np.median(samples))


def main():
    spec = json.load(open(sys.argv[1]))
    result = {}
    for case in spec:
        inputs = {k: jnp.asarray(np.fromfile(t["file"], np.float32).reshape(t["shape"])) for k, t in case["inputs"].items()}
        name = case["name"]
        repeat = case.get("repeat", 1)
        if name == "eager add of 3":
            result[name] = median_ms(lambda a, b: a + b, (inputs["a"], inputs["b"]), repeat)
        elif name in CASES:
            f, args = CASES[name](inputs)
            if name == "mlp adam step":
                start = time.perf_counter()
                jax.block_until_ready(jax.jit(f)(*args))
                result["mlp adam step, first call"] = (time.perf_counter() - start) * 1e3
            compiled = jax.jit(f)
            jax.block_until_ready(compiled(*args))
            result[name] = median_ms(compiled, args, repeat)
    print(json.dumps(result))


main()
