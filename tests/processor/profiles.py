"""Colour profiles, written byte by byte, as cameras and programs put them into images."""

import struct

# Colorants adapted to D50, one row a primary.
SRGB = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
DISPLAY_P3 = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
ADOBE_RGB = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
D50 = (0.9642, 1.0, 0.8249)


def s15(value):
    return struct.pack(">i", round(value * 65536))


def xyz(values):
    return b"XYZ \0\0\0\0" + b"".join(map(s15, values))


def gamma(value):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256)) + b"\0\0"


def srgb_curve():
    """The curve of sRGB as a table, as most profiles of it have."""
    levels = [i / 1023 for i in range(1024)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in levels]
    return b"curv\0\0\0\0" + struct.pack(">I1024H", 1024, *(round(v * 65535) for v in linear))


def profile(space, kind, tags, connection=b"XYZ "):
    table, data = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(data), len(content))
        data += content + b"\0" * (-len(content) % 4)
    header = struct.pack(">I4sI", start + len(data), b"lcms", 0x02400000) + kind + space + connection
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acspAPPL" + bytes(24) + b"".join(map(s15, D50)) + bytes(48)
    return header + table + data


def rgb_profile(colorants, curve):
    tags = {b"wtpt": xyz(D50)}
    tags |= {name: xyz(values) for name, values in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants, strict=True)}
    return profile(b"RGB ", b"mntr", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))


def grey_profile(exponent):
    return profile(b"GRAY", b"mntr", {b"wtpt": xyz(D50), b"kTRC": gamma(exponent)})


def cmyk_profile(colours):
    """A printer with these colours (Lab) for no ink and for full ink of each of the 16 mixtures, linear between."""
    identity = bytes(range(256))
    lut = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0))
    lut += b"".join(s15(value) for value in (1, 0, 0, 0, 1, 0, 0, 0, 1)) + identity * 4
    for lightness, a, b in colours:
        lut += bytes((round(lightness * 2.55), round(a) + 128, round(b) + 128))
    return profile(b"CMYK", b"prtr", {b"wtpt": xyz(D50), b"A2B0": lut + identity * 3}, b"Lab ")
