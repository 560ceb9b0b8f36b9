#include "minidl/kernels/common/dtype.h"

#include <utility>

#include "minidl/kernels/common/check.h"

namespace minidl {

std::size_t size_of(DType dtype) {
  return visit_dtype(dtype, [](auto zero) { return sizeof(zero); });
}

const char* name(DType dtype) {
  switch (dtype) {
    case f32: return "f32";
    case f16: return "f16";
    case bf16: return "bf16";
    case f64: return "f64";
    case i8: return "i8";
    case u8: return "u8";
    case i32: return "i32";
    case i64: return "i64";
    case boolean: return "bool";
  }
  return "unknown";
}

DType promote(DType a, DType b) {
  if (a == b) return a;
  if (is_floating_point(a) != is_floating_point(b)) return is_floating_point(a) ? a : b;
  if (is_floating_point(a)) return a == f64 || b == f64 ? f64 : f32;
  if (a == boolean || b == boolean) return a == boolean ? b : a;
  if (size_of(a) == size_of(b)) return i32;  // i8 with u8
  return size_of(a) > size_of(b) ? a : b;
}

namespace detail {

void unsupported_dtype(const char* op, DType dtype) {
  fail("{}: {} tensors are not supported here; convert with .to(dtype) first", op, dtype);
}

void wrong_dtype(DType asked, DType actual) {
  fail("a kernel asked for {} elements of an operand that holds {}", asked, actual);
}

}  // namespace detail
}  // namespace minidl
