"""The bytes of JSON's grammar by name, as ``int`` constants that numba compiles in."""

from __future__ import annotations

TAB, NEWLINE, RETURN, SPACE = 9, 10, 13, 32
QUOTE, BACKSLASH, COMMA, COLON = 34, 92, 44, 58
OPEN_BRACKET, CLOSE_BRACKET, OPEN_BRACE, CLOSE_BRACE = 91, 93, 123, 125
MINUS, PLUS, POINT, ZERO, ONE, NINE = 45, 43, 46, 48, 49, 57
UPPER_E, LOWER_E = 69, 101
LAST_PLAIN = 126
"""The last printable character of ASCII; what is under :data:`SPACE` is a control character."""
