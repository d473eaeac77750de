"""Records element functions to about 2^-60 of a value, with mpmath. Run: python record_numerics.py [name…] (mpmath 1.4).

For every function numerics.json holds, in base64: the inputs (float64, one block for each operand), the value rounded to
float64, and what the rounding lost, in units of the last place times 254 (int8). Names given as arguments record only those
functions and keep the rest of the file.

Inputs follow one rule: equally many in every binade of the domain, evenly spaced ones where the function is used most, and
the neighbours of points where it is hard: zeros, singularities, thresholds of over- and underflow, multiples of pi/2.
"""

import base64
import bisect
import json
import math
import os
import random
import struct
import sys
from fractions import Fraction

import mpmath
from mpmath import mp, mpf

TINY = 5e-324
NORMAL = 2.0**-1022
HUGE = sys.float_info.max


def order(x):
    """The number of a double in their order, 0 for both zeros."""
    (i,) = struct.unpack("<q", struct.pack("<d", x))
    return i if i >= 0 else -(i + 2**63)


def nth(k):
    return struct.unpack("<d", struct.pack("<q", abs(k)))[0] * (1 if k >= 0 else -1)


def binades(r, low, high, n):
    """n values from low to high, evenly spaced in the order of doubles, each moved at random within its share."""
    a, b = order(low), order(high)
    return [nth(a + round((b - a) * (i + r.random()) / n)) for i in range(n)]


def even(r, low, high, n):
    return [low + (high - low) * (i + r.random()) / n for i in range(n)]


def near(*points):
    """Points and what lies 1, 2, 2^10, 2^20, 2^30, 2^40 and 2^48 doubles beside them."""
    steps = [0, 1, 2, 2**10, 2**20, 2**30, 2**40, 2**48]
    return [nth(order(p) + s * d) for p in points for d in steps for s in (1, -1)]


def zeros_of(f, brackets):
    return [float(mpmath.findroot(f, b, solver="illinois")) for b in brackets]


# Doubles nearest to multiples of pi/2, near zero, and one that lies closer than any other: 6381956970095103 * 2^797
# (Muller et al., Handbook of Floating-Point Arithmetic, 2nd edition, section 10.2).
QUARTERS = [float(mp.pi / 2 * k) for k in [*range(1, 9), 100, 12345, 10**6, 636619, 636620, 10**9, 10**15, 2**40 + 1]]
QUARTERS += [6381956970095103.0 * 2.0**797, 1e22, 1e300, 2.0**1023]


def circular(r):
    xs = binades(r, TINY, HUGE, 700) + even(r, 0, 10, 900) + even(r, 0, 1e6, 300) + even(r, 1e6, 1e9, 300) + near(*QUARTERS)
    return xs + [-x for x in xs[::3]]


def signed(r, high, wide, *points):
    """Both signs up to high, with more up to wide."""
    xs = binades(r, TINY, high, 700) + even(r, 0, wide, 900) + near(NORMAL, 2.0**-54, 2.0**-27, 1.0, *points)
    return xs + [-x for x in xs[::2]]


def positive(r, wide, *points):
    return binades(r, TINY, HUGE, 900) + even(r, 0, wide, 900) + near(NORMAL, 1.0, 2.0, math.sqrt(2), math.sqrt(0.5), *points)


def unit(r, *points):
    xs = binades(r, TINY, 1, 700) + even(r, 0, 1, 900) + near(NORMAL, 2.0**-27, 0.25, 0.5, 0.975, math.tanh(1), *points)
    xs = [x for x in xs if x < 1] + [nth(order(1.0) - 2**k) for k in range(0, 52, 3)]
    return xs + [-x for x in xs[::2]]


def exponential(r, low, high):
    xs = signed(r, high, high, high, math.log(2) / 2, math.log(2)) + even(r, low, high, 900) + even(r, -2, 2, 500)
    return xs + near(low, low * 0.953, *(math.log(2) * (k + 0.5) for k in (-3, -2, -1, 0, 1, 2, 40)))


def gamma_domain(zeros):
    def inputs(r):
        xs = binades(r, TINY, 1e305, 700) + even(r, 0, 4, 900) + even(r, 4, 40, 300) + near(0.5, 1.0, 2.0, 1.5, 2.5, 3.0, 8.0, 12.0)
        below = even(r, -12, 0, 700) + even(r, -170, -12, 100) + [-x for x in binades(r, TINY, 1e15, 200)]
        poles = [nth(order(-float(k)) + s * 2**d) for k in range(1, 8) for s in (1, -1) for d in (0, 10, 30, 45)]
        return xs + below + poles + near(*zeros)

    return inputs


def pow_inputs(r):
    pairs = []
    for _ in range(1500):  # any base; the result in range
        x = nth(r.randrange(order(TINY), order(HUGE)))
        limit = 744.0 / abs(math.log(x)) if x != 1 else 1.0
        pairs.append((x, r.uniform(-limit, limit)))
    for _ in range(1200):  # a base near 1 and a large exponent
        x = 1 + r.uniform(-1, 1) * 2.0 ** -r.randrange(1, 52)
        if x != 1:
            pairs.append((x, r.uniform(-745, 710) / math.log(x)))
    for x, y in [(r.uniform(0, 30), r.uniform(-30, 30)) for _ in range(800)]:
        pairs.append((x, y))
    for _ in range(400):  # negative bases
        pairs.append((-r.uniform(0, 30), float(r.randrange(-40, 40))))
    for y in (0.5, -0.5, 2.0, 3.0, -1.0, -2.0, 1 / 3, 10.0, 1.0):
        pairs += [(x, y) for x in binades(r, TINY, HUGE, 40)]
    # The thresholds of overflow, of gradual underflow and of underflow.
    for t in (1024.0, -1022.0, -1074.0, -1075.0):
        for d in (-1e-3, -1e-9, -1e-13, 0.0, 1e-13, 1e-9, 1e-3):
            pairs += [(2.0, t + d), (10.0, (t + d) * math.log10(2)), (0.75, (t + d) / math.log2(0.75)), (1e300, (t + d) / math.log2(1e300))]
    return pairs


def atan2_inputs(r):
    pairs = []
    for _ in range(2500):
        pairs.append((r.uniform(-1, 1), r.uniform(-1, 1)))
    for _ in range(1500):
        y, x = (nth(r.randrange(order(TINY), order(HUGE))) * r.choice((1, -1)) for _ in range(2))
        pairs.append((y, x))
    for _ in range(600):  # of one size: near the axes and the diagonals
        s = 2.0 ** r.randrange(-1000, 1000)
        pairs.append((r.choice((1, -1)) * s * (1 + r.uniform(-1, 1) * 2.0 ** -r.randrange(1, 52)), r.choice((1, -1)) * s))
        pairs.append((r.choice((1, -1)) * s * 2.0 ** -r.randrange(0, 80), r.choice((1, -1)) * s * (1 + r.random())))
    return pairs


def zeta_inputs(r):
    pairs = [(r.uniform(1.001, 12), r.uniform(0.01, 20)) for _ in range(500)]
    pairs += [(r.uniform(1.001, 60), r.uniform(0.3, 3)) for _ in range(200)]
    return pairs + [(1 + 2.0**-k, q) for k in range(1, 40, 4) for q in (0.25, 1.0, 7.5)] + [(2.0, float(q)) for q in range(1, 60)]


def polygamma_inputs(r):
    pairs = [(float(r.randrange(0, 8)), r.uniform(0.05, 20)) for _ in range(600)]
    return pairs + [(1.0, x) for x in binades(r, 1e-100, 1e100, 100)]


def bessel_scaled(n):
    def f(x):
        a = abs(x)
        if a > 1000:  # asymptotic: terms fall below 10^-60 long before they grow. Abramowitz & Stegun 9.7.1
            term = total = mpf(1)
            for k in range(1, 60):
                term *= -(4 * n * n - (2 * k - 1) ** 2) / (8 * k * a)
                total += term
            y = total / mp.sqrt(2 * mp.pi * a)
        else:
            y = mp.exp(-a) * mp.besseli(n, a)
        return -y if n == 1 and x < 0 else y

    return f


def positive_series(x, f, g):
    """An odd function: g(x) = x + c x^3 where f would lose digits."""
    return x + g * x**3 if abs(x) < mpf(2) ** -200 else f(x)


def logistic(x):
    return 1 / (1 + mp.exp(-x))


def clamped_exp(f):
    """Arguments beyond the range of doubles stay representable."""
    return lambda x: f(max(min(x, mpf(2000)), mpf(-2000)))


def erfc(x):
    return mp.erfc(min(x, mpf(60)))


def lgamma(x):
    return mp.loggamma(x).real if x > 0 else mp.log(abs(mp.gamma(x))) if x > -180 else reflected_lgamma(x)


def reflected_lgamma(x):
    return mp.log(mp.pi / abs(mp.sinpi(x))) - mp.loggamma(1 - x)


def erfinv(x):
    if abs(x) < mpf(2) ** -100:
        return x * mp.sqrt(mp.pi) / 2
    return mp.erfinv(x)


def power(x, y):
    if x < 0:
        return (-1 if y % 2 else 1) * power(-x, y)
    return mp.exp(max(min(y * mp.log(x), mpf(2000)), mpf(-2000)))


def polygamma(n, x):
    return mp.psi(int(n), x)


mp.dps = 60
LGAMMA_ZEROS = zeros_of(lgamma, [(-2.5, -2.4), (-2.8, -2.7), (-3.2, -3.1), (-3.96, -3.95), (-4.05, -4.03)])
DIGAMMA_ZEROS = zeros_of(mp.digamma, [(1.4, 1.5), (-0.6, -0.4), (-1.6, -1.5), (-2.7, -2.6), (-3.7, -3.6)])

ODD = {"sinh": (mp.sinh, 1 / mpf(6)), "tanh": (mp.tanh, -1 / mpf(3)), "asinh": (mp.asinh, -1 / mpf(6)),
       "atanh": (mp.atanh, 1 / mpf(3)), "asin": (mp.asin, 1 / mpf(6)), "atan": (mp.atan, -1 / mpf(3))}  # fmt: skip


def odd(name):
    f, c = ODD[name]
    return lambda x: positive_series(x, f, c)


FUNCTIONS = {
    "exp": (clamped_exp(mp.exp), lambda r: exponential(r, -745.2, 709.79)),
    "exp2": (clamped_exp(lambda x: mp.power(2, x)), lambda r: exponential(r, -1075.5, 1024)),
    "expm1": (clamped_exp(mp.expm1), lambda r: exponential(r, -50, 709.79)),
    "log": (mp.log, lambda r: positive(r, 4)),
    "log1p": (mp.log1p, lambda r: signed(r, HUGE, 4, 0.4142, 2.0**53)[:1700] + unit(r, 0.2928)),
    "sin": (mp.sin, circular),
    "cos": (mp.cos, circular),
    "tan": (mp.tan, circular),
    "asin": (odd("asin"), unit),
    "acos": (mp.acos, unit),
    "atan": (odd("atan"), lambda r: signed(r, HUGE, 4, 0.4375, 0.6875, 1.1875, 2.4375)),
    "sinh": (odd("sinh"), lambda r: signed(r, 710.4, 30, 22, 710.4, 709.79)),
    "cosh": (mp.cosh, lambda r: signed(r, 710.4, 30, 22, 710.4, 709.79)),
    "tanh": (odd("tanh"), lambda r: signed(r, HUGE, 4, 19, 22, 0.5)),
    "asinh": (odd("asinh"), lambda r: signed(r, HUGE, 4, 2, 2.0**28)),
    "acosh": (mp.acosh, lambda r: [x for x in binades(r, 1, HUGE, 900) + even(r, 1, 5, 900) + near(2, 2.0**28) if x > 1] + [nth(order(1.0) + 2**k) for k in range(52)]),
    "atanh": (odd("atanh"), unit),
    "erf": (mp.erf, lambda r: signed(r, HUGE, 6, 0.84375, 1.25, 1 / 0.35, 5.9)),
    "erfc": (erfc, lambda r: signed(r, 28, 6, 0.25, 0.84375, 1.25, 1 / 0.35, 5.9, 26.54, 27.2) + even(r, 1, 27.3, 900)),
    "erf_inv": (erfinv, lambda r: unit(r)[::2]),
    "lgamma": (lgamma, gamma_domain(LGAMMA_ZEROS)),
    "digamma": (mp.digamma, gamma_domain(DIGAMMA_ZEROS)),
    "bessel_i0e": (bessel_scaled(0), lambda r: signed(r, HUGE, 30, 8)[::2] + even(r, 7, 9, 100)),
    "bessel_i1e": (bessel_scaled(1), lambda r: signed(r, HUGE, 30, 8)[::2] + even(r, 7, 9, 100)),
    "sqrt": (mp.sqrt, lambda r: positive(r, 4)),
    "rsqrt": (lambda x: 1 / mp.sqrt(x), lambda r: positive(r, 4)),
    "cbrt": (lambda x: mp.cbrt(x) if x >= 0 else -mp.cbrt(-x), lambda r: signed(r, HUGE, 8)),
    "logistic": (clamped_exp(logistic), lambda r: signed(r, 745.2, 40, 36.7, 708.4, 745.1)),
    "pow": (power, pow_inputs),
    "atan2": (mp.atan2, atan2_inputs),
    "zeta": (mp.zeta, zeta_inputs),
    "polygamma": (polygamma, polygamma_inputs),
}  # fmt: skip


def rounded(y):
    """A value as the nearest double and the rest in 1/254 units of its last place."""
    sign, man, exp, bc = y._mpf_
    if man == 0:
        return 0.0, 0
    if exp + bc > 1030:
        return (-math.inf if sign else math.inf), 0
    if exp + bc < -1100:
        return (-0.0 if sign else 0.0), 0
    man = int(man)
    q = Fraction(man << exp) if exp >= 0 else Fraction(man, 1 << -exp)
    try:
        hi = q.numerator / q.denominator
    except OverflowError:
        return (-math.inf if sign else math.inf), 0
    if math.isinf(hi):
        return (-hi if sign else hi), 0
    rest = round((q - Fraction(hi)) / Fraction(math.ulp(hi)) * 254)
    assert -127 <= rest <= 127
    return (-hi, -rest) if sign else (hi, rest)


def value(name, f, args):
    """The value with 60 digits, checked with 90: a formula that cancels shows as a difference."""
    results = []
    for digits in (60, 90):
        with mp.workdps(digits):
            results.append(f(*map(mpf, args)))
    a, b = results
    assert a == b or abs(a - b) <= abs(b) * mpf(2) ** -90, f"{name}{args}: {a} and {b}"
    return rounded(b)


def record(name):
    f, inputs = FUNCTIONS[name]
    rows = [x if isinstance(x, tuple) else (x,) for x in inputs(random.Random(name))]
    rows = [x for x in dict.fromkeys(rows) if all(map(math.isfinite, x)) and not (name == "log1p" and x[0] <= -1)]
    if name in ("lgamma", "digamma"):
        rows = [x for x in rows if x[0] > 0 or x[0] != math.floor(x[0])]
    kept = [(x, *value(name, f, x)) for x in rows]
    pack = lambda code, xs: base64.b64encode(struct.pack(f"<{len(xs)}{code}", *xs)).decode()
    return {
        "inputs": [pack("d", [x[i] for x, _, _ in kept]) for i in range(len(rows[0]))],
        "values": pack("d", [y for _, y, _ in kept]),
        "rests": pack("b", [t for _, _, t in kept]),
    }


path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "numerics.json")
functions = {}
if len(sys.argv) > 1 and os.path.exists(path):
    with open(path) as f:
        functions = json.load(f)["functions"]
for name in sys.argv[1:] or FUNCTIONS:
    print(name, flush=True)
    functions[name] = record(name)
with open(path, "w") as f:
    json.dump({"mpmath": mpmath.__version__, "functions": {k: functions[k] for k in FUNCTIONS if k in functions}}, f, separators=(",", ":"))
    f.write("\n")
