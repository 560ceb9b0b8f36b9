// Tables of misuse: what is called, and what the Error must say.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "minidl/kernels/common/error.h"
#include "tests/catch.h"

namespace minidl::test {

struct Misuse {
  std::function<void()> run;
  std::vector<std::string> texts;
};

inline void check_table(const std::vector<Misuse>& rows) {
  for (const Misuse& row : rows) {
    std::string message;
    try {
      row.run();
    } catch (const Error& error) {
      message = error.what();
    }
    INFO("expected '" << row.texts[0] << "', got '" << message << "'");
    for (const std::string& text : row.texts) CHECK(message.find(text) != std::string::npos);
  }
}

}  // namespace minidl::test
