#include "minidl/kernels/common/labels.h"

#include "minidl/kernels/common/check.h"

namespace minidl::kernels {

void check_label_dtype(const View& target, const char* op) {
  check(target.dtype == i64, "{}: targets are class indices of dtype i64, got {}", op,
        target.dtype);
}

std::string explain_label(std::int64_t row, std::int64_t label, std::int64_t classes,
                          std::int64_t ignore_index, const char* op) {
  return fmt::format(
      "{}: the target of row {} is {}, but there are {} classes: labels are 0..{}, or "
      "ignore_index ({})",
      op, row, label, classes, classes - 1, ignore_index);
}

}  // namespace minidl::kernels
