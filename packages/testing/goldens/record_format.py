"""Numbers as Python's format specifications write them, for debug.print: python record_format.py > format.json"""
import json

values = [0, 1, -1, 3.14159, -2.5, 1234567.891, 1e-7, 123456789, 1e20, 0.5, "inf", "-inf", "nan", 255, -42]
specs = [".3f", "8.2f", "<8.2f", "^9.1f", "08.2f", "+.1f", " .2f", ".2e", "E", "g", ".3g", "10g", "G", "%", ".1%", ",", "_d", ",d", "d", "5d", "<5d", "05d", "+d", "x", "X", "#x", "b", "o", "*>10d", "*^12.3f", "#.3g", "010.3e", ",.2f"]

cases = []
for spec in specs:
    for value in values:
        number = float(value)
        if spec[-1] in "dxXbo,":
            # JavaScript has one kind of number: whole ones are Python's integers here.
            if isinstance(value, str) or number != int(number) or abs(number) > 1e15:
                continue
            number = int(number)
        cases.append([spec, value, format(number, spec)])
print(json.dumps(cases))
