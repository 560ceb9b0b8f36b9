// Answers as files, and their comparison.
#pragma once

#include <string>
#include <vector>

#include "case.h"

namespace minidl::conformance {

/// What a case gave: its words, or why there are none.
struct Record {
  std::string name;
  double tolerance = 0;
  std::string problem;
  Words words;
};
using Records = std::vector<Record>;

/// Adds to the end of a file, so that what is there survives whatever happens next.
void append(const std::string& file, const Record& record);

/// All complete records of a file; none if it does not exist. Throws Error if it is no such file.
Records read_records(const std::string& file);

struct Verdict {
  std::string name;
  bool equal = false;
  std::string note;  ///< "64 words equal", or the first difference
};

/// Each record of `wanted` beside that of the same name in `got`.
std::vector<Verdict> compare(const Records& wanted, const Records& got);

}  // namespace minidl::conformance
