#!/usr/bin/env python3
"""Writes wgmma.inc: one function per shape and type, whose operands are up to 128 registers.

With --check, only says whether wgmma.inc is what would be written.
"""
import pathlib
import sys

SHAPES = (8, 16, 32, 64, 96, 128, 192, 256)
TYPES = (
    # C++ type, PTX types of A and B, K, accumulator, its PTX type and constraint, may be MN-major
    ("__half", "f16.f16", 16, "float", "f32", "f", True),
    ("__nv_bfloat16", "bf16.bf16", 16, "float", "f32", "f", True),
    ("Tf32", "tf32.tf32", 8, "float", "f32", "f", False),
    ("std::int8_t", "s8.s8", 32, "std::int32_t", "s32", "r", False),
    ("__nv_fp8_e4m3", "e4m3.e4m3", 32, "float", "f32", "f", False),
    ("__nv_fp8_e5m2", "e5m2.e5m2", 32, "float", "f32", "f", False),
    ("Mixed<__nv_fp8_e4m3, __nv_fp8_e5m2>", "e4m3.e5m2", 32, "float", "f32", "f", False),
    ("Mixed<__nv_fp8_e5m2, __nv_fp8_e4m3>", "e5m2.e4m3", 32, "float", "f32", "f", False),
)


def wrap(items, indent):
    lines, line = [], indent
    for i, item in enumerate(items):
        text = item + (", " if i + 1 < len(items) else "")
        if len(line + text.rstrip()) > 92:
            lines.append(line.rstrip())
            line = indent
        line += text
    return lines + [line]


def define(name, lines):
    return " \\\n".join([f"#define {name}"] + lines) + "\n"


def quoted(numbers):
    items = [f"%{i}" for i in numbers]
    return [f'  "{line.strip()} "' for line in wrap(items, "   ")]


def function(n, kind, cpp, ptx, k, sum_cpp, sum_ptx, constraint, majors):
    registers = n // 2
    a_operands = 1 if kind == "shared" else 4
    first_a = registers
    b = first_a + a_operands
    flags = ["p"]
    if sum_ptx == "f32":
        flags += ["1", "1"]
    names = {"shared": "AMnMajor, bool BMnMajor", "registers": "BMnMajor"}[kind]
    transposed = {"shared": ["AMnMajor", "BMnMajor"], "registers": ["BMnMajor"]}[kind]
    inputs = ['"l"(a)'] if kind == "shared" else [f'"r"(a[{i}])' for i in range(4)]
    inputs += ['"l"(b)', '"r"(static_cast<int>(scale_d))']
    if majors:
        flags += [f"%{b + 2 + i}" for i in range(len(transposed))]
        inputs += [f'"n"({name} ? 1 : 0)' for name in transposed]
    a_text = ", ".join(f"%{first_a + i}" for i in range(a_operands))
    a_type = "std::uint64_t a"
    if kind == "registers":
        a_text, a_type = "{" + a_text + "}", "const std::uint32_t (&a)[4]"
    op = f"wgmma.mma_async.sync.aligned.m64n{n}k{k}.{sum_ptx}.{ptx}"
    inputs = "\n".join(wrap(inputs, "      ")).strip()
    return f"""template <bool {names}>
MINIDL_DEVICE void wgmma_{kind}({sum_cpp} (&d)[{registers}], {a_type},
    std::uint64_t b, bool scale_d, {cpp}) {{
  asm volatile(
      "{{\\n.reg .pred p;\\nsetp.ne.b32 p, %{b + 1}, 0;\\n"
      "{op} "
      "{{" MINIDL_WGMMA_D{registers} "}}, {a_text}, %{b}, {", ".join(flags)};\\n}}"
      : MINIDL_WGMMA_OUT{registers}("+{constraint}")
      : {inputs});
}}
"""


def main():
    out = ["// Written by generate_wgmma.py; included by wgmma.cuh. Operand lists by the number\n"
           "// of accumulator registers of a thread, then a function per shape and type.\n"]
    for n in SHAPES:
        r = n // 2
        out.append(define(f"MINIDL_WGMMA_D{r}", quoted(range(r))))
        out.append(define(f"MINIDL_WGMMA_OUT{r}(c)",
                          wrap([f"c(d[{i}])" for i in range(r)], "  ")))
    for t in TYPES:
        for n in SHAPES:
            for kind in ("shared", "registers"):
                out.append(function(n, kind, *t))
    for n in SHAPES:
        out.append(f"#undef MINIDL_WGMMA_D{n // 2}\n#undef MINIDL_WGMMA_OUT{n // 2}")
    path = pathlib.Path(__file__).with_name("wgmma.inc")
    text = "\n".join(out) + "\n"
    if "--check" in sys.argv[1:]:
        if path.read_text() != text:
            sys.exit(f"{path} is not what {sys.argv[0]} writes: run it")
    else:
        path.write_text(text)


if __name__ == "__main__":
    main()
