"""Exact numbers as text for readers: fractions, exact or approximate decimals, and a float's three faces."""

from __future__ import annotations

import math
import sys
from decimal import Context
from fractions import Fraction

import numpy as np

from multimargin_reference.arithmetic import Real
from multimargin_reference.formats import DTYPES

LONGEST_DECIMAL = 20  # characters of a decimal that is written out
LONGEST_FRACTION = 24
LONGEST_CELL = 40  # of a number in a table
APPROXIMATE = Context(prec=17, Emax=99999, Emin=-99999)
EXACT = Context(prec=LONGEST_DECIMAL, Emax=99999, Emin=-99999)


def fraction_text(value: Real) -> str:
    """Return a number exactly: an integer, a short fraction, or n * 2^k / d where those are long."""
    if not isinstance(value, Fraction):
        return str(value)
    if len(text := str(value)) <= LONGEST_FRACTION:
        return text
    exponent = _twos(value.numerator) - _twos(value.denominator)
    numerator = value.numerator >> max(exponent, 0) if exponent > 0 else value.numerator
    divisor = value.denominator >> max(-exponent, 0) if exponent < 0 else value.denominator
    scaled = f"{numerator} * 2^{exponent}" if exponent else str(numerator)
    return scaled if divisor == 1 else f"{scaled} / {divisor}"


def exact_decimal(value: Real) -> str:
    """Return the exact decimal where it is short, otherwise ""."""
    if not isinstance(value, Fraction):
        return str(value)
    if value.denominator.bit_length() > 4 * LONGEST_DECIMAL or abs(value.numerator).bit_length() > 4 * LONGEST_DECIMAL:
        return ""  # too long, and not worth a division
    quotient = EXACT.divide(EXACT.create_decimal(value.numerator), EXACT.create_decimal(value.denominator))
    text = f"{quotient:f}"
    return text if Fraction(quotient) == value and len(text) <= LONGEST_DECIMAL else ""


def approximate_decimal(value: Fraction) -> str:
    """Return the decimal of 17 digits next to a number of any size."""
    numerator, denominator = (APPROXIMATE.create_decimal(n) for n in (value.numerator, value.denominator))
    return f"{APPROXIMATE.divide(numerator, denominator):g}"


def exact_text(value: Real) -> str:
    """Return a number exactly, and as a decimal: "3/8 = 0.375", "1/3 = about 0.33333333333333333"."""
    text = fraction_text(value)
    if not isinstance(value, Fraction) or (value.denominator == 1 and "^" not in text):
        return text
    return f"{text} = {exact_decimal(value) or f'about {approximate_decimal(value)}'}"


def cell(value: Real) -> str:
    """Return a number for a table: exact unless that is very long."""
    text = exact_decimal(value) or fraction_text(value)
    if isinstance(value, Fraction) and len(text) > LONGEST_CELL:
        return f"about {approximate_decimal(value)}"
    return text


def float_text(value: float, dtype: str) -> str:
    """Return the shortest decimal that reads back as this value of the dtype."""
    return str(value) if dtype == "float64" else str(DTYPES[dtype].type(value))


def hex_text(value: float) -> str:
    """Return a float in hexadecimal, without trailing zeros: 0x1.8p-2."""
    digits, p, exponent = value.hex().partition("p")
    return digits.rstrip("0").rstrip(".") + p + exponent if p and "." in digits else value.hex()


def bits_text(value: float, dtype: str) -> str:
    """Return a value's bits in the dtype, the sign first."""
    positive = value if value == value else math.nan  # 0 * inf is a NaN of either sign
    number = np.array(positive, dtype=np.float64).astype(DTYPES[dtype])
    return "0x" + number.tobytes()[:: -1 if sys.byteorder == "little" else 1].hex()


def three_faces(value: float, dtype: str) -> str:
    """Return a float as a decimal, in hexadecimal, and its bits."""
    return f"{float_text(value, dtype)} = {hex_text(value)} (bits {bits_text(value, dtype)})"


def _twos(n: int) -> int:
    """How many times 2 divides n, 0 for 0."""
    return (n & -n).bit_length() - 1 if n else 0
