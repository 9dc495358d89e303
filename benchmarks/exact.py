"""Black-76 in fifty decimal digits: slow, independent of the product's formulas, and the judge of its accuracy."""

from decimal import Decimal, localcontext

DIGITS = 50
_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")


def normal_cdf(x: Decimal) -> Decimal:
    """Standard normal distribution by its power series, and by a continued fraction in the tails."""
    if abs(x) < 7:
        term = total = x
        n = 0
        while abs(term) > Decimal("1e-45"):
            n += 1
            term *= -x * x / (2 * n)
            total += term / (2 * n + 1)
        return Decimal("0.5") + total / (2 * _PI).sqrt()
    z = abs(x)
    fraction = z
    for n in range(120, 0, -1):
        fraction = z + n / fraction
    tail = (-z * z / 2).exp() / (2 * _PI).sqrt() / fraction
    return tail if x < 0 else 1 - tail


def price_and_vega(
    forward: float, strike: float, sigma: float, t_years: float, discount: float, is_call: bool
) -> tuple[Decimal, Decimal]:
    """(price, its derivative by sigma) of exactly these doubles."""
    with localcontext() as context:
        context.prec = DIGITS
        f, k, s, t, d = (Decimal(value) for value in (forward, strike, sigma, t_years, discount))
        total = s * t.sqrt()
        d1 = (f / k).ln() / total + total / 2
        d2 = d1 - total
        vega = d * f * t.sqrt() * (-d1 * d1 / 2).exp() / (2 * _PI).sqrt()
        if is_call:
            return d * (f * normal_cdf(d1) - k * normal_cdf(d2)), vega
        return d * (k * normal_cdf(-d2) - f * normal_cdf(-d1)), vega


def error_of(
    sigma: float, price: float, forward: float, strike: float, t_years: float, discount: float, is_call: bool
) -> float:
    """Signed distance of `sigma` from the volatility of this price, exact where it is small (one Newton step)."""
    reached, vega = price_and_vega(forward, strike, sigma, t_years, discount, is_call)
    return float((reached - Decimal(price)) / vega)


def has_volatility(price: float, forward: float, strike: float, discount: float, is_call: bool) -> bool:
    """Whether the price lies strictly between its discounted intrinsic value and its bound."""
    with localcontext() as context:
        context.prec = 400
        p, f, k, d = (Decimal(value) for value in (price, forward, strike, discount))
        worth, paid = (f, k) if is_call else (k, f)
        return max(d * (worth - paid), Decimal(0)) < p < d * worth
