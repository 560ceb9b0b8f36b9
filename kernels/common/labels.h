// What the kernels of every device say about targets that are classes.
// Not part of the public interface.
#pragma once

#include <cstdint>
#include <string>

#include "minidl/kernels/common/view.h"

namespace minidl::kernels {

/// Throws Error, naming `op`, unless the targets are i64.
void check_label_dtype(const View& target, const char* op = "cross_entropy");

/// Why `label` cannot be the target of `row`.
std::string explain_label(std::int64_t row, std::int64_t label, std::int64_t classes,
                          std::int64_t ignore_index, const char* op = "cross_entropy");

}  // namespace minidl::kernels
