"""What the scripts that record values, gradients and batching from JAX have in common.

A case is [name, args, result, tolerance?]. Arrays are {"d": dtype, "s": shape, "v": flat values}, with NaN and infinities as
strings and complex numbers as pairs in a row, and "w" when the result is weakly typed. Functions are {"fn": name}, slices {"slice": [start, stop, step]}.
An error is {"error": true}.
"""

import json
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from transforms import record

assert not jax.config.jax_enable_x64
cases = []
transformed = []
SPECIAL = {"var_": "var", "atleast1d": "atleast_1d", "atleast2d": "atleast_2d", "atleast3d": "atleast_3d", "delete_": "delete"}


class Fn:
    def __init__(self, name):
        self.name = name


class Slice:
    def __init__(self, *parts):
        self.parts = parts


class Index(list):
    """The parts of an index: numbers, None, ..., Slice and arrays."""


class Arrays(list):
    """A list of arrays, passed as a list."""


def snake(name):
    return SPECIAL.get(name) or re.sub(r"([A-Z])", lambda m: "_" + m.group(1).lower(), name)


def number(v):
    if isinstance(v, (bool, np.bool_)):
        return int(v)
    if isinstance(v, (int, np.integer)):
        return int(v)
    v = float(v)
    if v != v:
        return "NaN"
    if v in (float("inf"), float("-inf")):
        return "Infinity" if v > 0 else "-Infinity"
    if v == 0:
        return "-0" if np.signbit(v) else 0
    return int(v) if v == int(v) and abs(v) < 1e15 else v


def short(v, dtype):
    """The shortest decimal that reads back as the same float of the dtype."""
    if dtype == np.float32 and np.isfinite(v) and v != 0:
        return number(float(np.format_float_positional(np.float32(v), unique=True, trim="0")) if 1e-5 < abs(v) < 1e9 else float(f"{v:.9g}"))
    return number(v)


def encode_array(x):
    a = np.asarray(x)
    name = jnp.asarray(x).dtype.name
    flat = a.reshape(-1)
    if name.startswith("complex"):
        flat = np.stack([flat.real, flat.imag], -1).reshape(-1)
    values = [short(v, flat.dtype) for v in (flat.astype(np.float32) if name in ("float16", "bfloat16") else flat)]
    return {"d": name, "s": list(a.shape), "v": values}


def encode(v):
    if isinstance(v, Fn):
        return {"fn": v.name}
    if isinstance(v, Slice):
        return {"slice": list(v.parts)}
    if v is Ellipsis:
        return "..."
    if isinstance(v, (jax.Array, np.ndarray)):
        return encode_array(v)
    if isinstance(v, (np.dtype, type)) or hasattr(v, "dtype") and isinstance(getattr(v, "dtype", None), np.dtype) and callable(v):
        return np.dtype(v).name
    if v is None or isinstance(v, (str, bool)):
        return v
    if isinstance(v, np.bool_):
        return bool(v)
    if isinstance(v, (int, float, np.generic)):
        return number(v)
    if isinstance(v, dict):
        return {k: encode(w) for k, w in v.items()}
    if isinstance(v, (list, tuple)):
        return [encode(w) for w in v]
    raise TypeError(type(v))


def to_jax(v):
    if isinstance(v, np.ndarray):
        return jnp.asarray(v)
    if isinstance(v, Fn):
        return getattr(lax, snake(v.name.removeprefix("lax."))) if v.name.startswith("lax.") else getattr(jnp, snake(v.name))
    if isinstance(v, Slice):
        return slice(*v.parts)
    if isinstance(v, Index):
        return tuple(to_jax(w) for w in v)
    if isinstance(v, (list, tuple)):
        return type(v)(to_jax(w) for w in v) if not isinstance(v, Arrays) else [to_jax(w) for w in v]
    return v


def encode_result(r):
    if isinstance(r, (list, tuple)):
        return [encode_result(w) for w in r]
    encoded = encode(r)
    if isinstance(r, jax.Array) and r.weak_type:
        encoded["w"] = True
    return encoded


def camel(k):
    return re.sub(r"_([a-z])", lambda m: m.group(1).upper(), k)


MODULES = {"lax": lax, "fft": jnp.fft, "linalg": jnp.linalg, "laxlinalg": lax.linalg}


def place(name):
    """The module and the name in it: "lax.sort", "fft.rfft", or a name of jax.numpy."""
    prefix, _, plain = name.rpartition(".")
    return (MODULES[prefix], plain) if prefix else (jnp, name)


def case(name, *args, py=None, at=None, tol=None, error=False, **options):
    """`at` is the position of the options object in TypeScript; the gap is filled with null."""
    fn = py
    if fn is None:
        module, plain = place(name)
        fn = getattr(module, snake(plain))
    entry = [name]
    ts = list(args)
    if options:
        while at is not None and len(ts) < at:
            ts.append(None)
        ts.append({camel(k): v for k, v in options.items()})
    # Static lists of numbers (axes, shapes) must be hashable for JAX.
    frozen = lambda v: tuple(v) if type(v) is list and all(isinstance(w, int) for w in v) else to_jax(v)
    try:
        result = fn(*[frozen(a) for a in args], **{k: frozen(v) for k, v in options.items()})
        if error:
            raise AssertionError(f"{name}{args} was expected to fail")
        entry += [encode(ts), encode_result(result)]
    except AssertionError:
        raise
    except Exception as e:
        if not error:
            print(f"{name} {[getattr(a, 'shape', a) for a in args]} {options}: {type(e).__name__}: {str(e)[:200]}", file=sys.stderr)
            return
        entry += [encode(ts), {"error": True}]
    if tol is not None:
        entry.append(tol)
    cases.append(entry)
    if not error:
        static = {k: frozen(v) for k, v in options.items()}
        found = record(lambda *a: fn(*a, **static), [frozen(a) for a in args])
        if found is not None:
            transformed.append({"case": len(cases) - 1, **{k: encode(v) for k, v in found.items()}})


f32 = lambda *v: np.array(v if len(v) != 1 or not isinstance(v[0], list) else v[0], np.float32)
i32 = lambda *v: np.array(v if len(v) != 1 or not isinstance(v[0], list) else v[0], np.int32)
u8 = lambda *v: np.array(v, np.uint8)
i8 = lambda *v: np.array(v, np.int8)
u32 = lambda *v: np.array(v, np.uint32)
b = lambda *v: np.array(v if len(v) != 1 or not isinstance(v[0], list) else v[0], bool)
f16 = lambda *v: np.array(v, np.float16)
c64 = lambda *v: np.array(v, np.complex64)
nan, inf = float("nan"), float("inf")
rng = np.random.default_rng(0)
R = lambda *s: np.round(rng.normal(size=s), 2).astype(np.float32)
RI = lambda *s: rng.integers(-9, 10, size=s).astype(np.int32)


def write(values, transforms):
    """Writes the cases recorded so far, and their gradients and batching, into two files beside this one."""
    for name, entries in ((values, cases), (transforms, transformed)):
        Path(__file__).with_name(name).write_text("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in entries) + "\n]\n")
    print(sum("g" in t for t in transformed), "gradients,", sum(len(t.get("m", [])) for t in transformed), "batched,", len(cases), "cases,", len({c[0] for c in cases}), "names")
