// NumPy's files: what comes back, what is refused, and that NumPy agrees.

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "minidl/core/ops/elementwise.h"
#include "minidl/core/serialization/npy.h"
#include "minidl/kernels/common/error.h"
#include "tests/catch.h"
#include "tests/folder.h"
#include "tests/mutate.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::test;
using Values = std::vector<double>;

namespace {

constexpr DType kDtypes[] = {f16, f32, f64, i8, u8, i32, i64, boolean};

/// A file with this header, as version `major`.0.
std::string file_of(const std::string& header, const std::string& data, int major = 1) {
  std::string bytes = "\x93NUMPY";
  bytes += static_cast<char>(major);
  bytes += '\0';
  for (int i = 0; i < (major == 1 ? 2 : 4); ++i) {
    bytes += static_cast<char>(header.size() >> (8 * i) & 0xffu);
  }
  return bytes + header + data;
}

std::string header_of(const std::string& descr, const std::string& fortran,
                      const std::string& shape) {
  return "{'descr': " + descr + ", 'fortran_order': " + fortran + ", 'shape': " + shape + ", }\n";
}

std::string message_of_loading(const std::string& path) {
  try {
    load_npy(path);
  } catch (const Error& error) {
    return error.what();
  }
  return "loaded";
}

/// Whether there is a python3 with NumPy; if not, the test says that it is skipped.
bool numpy_or_skip() {
  if (std::system("python3 -c 'import numpy' 2>/dev/null") == 0) return true;
  std::cout << "SKIPPED: python3 has no numpy here\n";
  return false;
}

}  // namespace

TEST_CASE("npy: every dtype and rank comes back bit for bit", "[npy]") {
  const Folder folder;
  for (const DType dtype : kDtypes) {
    for (const Shape& shape : {Shape{}, Shape{6}, Shape{2, 3}, Shape{1, 2, 3, 1}, Shape{0, 4}}) {
      INFO(name(dtype) << to_string(shape));
      Values values{0, 1, 1, 0, 1, 1};
      values.resize(static_cast<std::size_t>(numel(shape)));
      const Tensor saved = tensor(values, shape, {.dtype = dtype});
      save_npy(folder / "t", saved);
      const Tensor loaded = load_npy(folder / "t");
      CHECK(loaded.dtype() == dtype);
      CHECK(loaded.shape() == shape);
      CHECK(loaded.device() == cpu);
      CHECK(loaded.to_vector() == values);
    }
  }
  const Values odd{NAN, INFINITY, -INFINITY, -0.0, 5e-324};
  save_npy(folder / "t", tensor(odd, {5}, {.dtype = f64}));
  CHECK(std::memcmp(load_npy(folder / "t").raw_data(), odd.data(), 40) == 0);
}

TEST_CASE("npy: strided tensors are stored in logical order", "[npy]") {
  const Folder folder;
  const Tensor base = arange(24, {.dtype = f32}).reshape({1, 2, 3, 4});
  for (const Tensor& view :
       {base.channels_last(), base.transpose(1, 3), base.slice(3, 1, 4, 2),
        base.select(1, 0).expand({2, 3, 4}), ones({2}, {.requires_grad = true}) * 2}) {
    save_npy(folder / "t", view);
    const Tensor loaded = load_npy(folder / "t");
    CHECK(loaded.shape() == view.shape());
    CHECK(loaded.to_vector() == view.to_vector());
    CHECK(loaded.is_contiguous());
  }
}

TEST_CASE("npy: what is written looks as NumPy's does", "[npy]") {
  const Folder folder;
  save_npy(folder / "t", tensor({1, 2, 3}, {3}, {.dtype = u8}));
  std::string header = "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }";
  header.resize(128 - 10 - 1, ' ');
  CHECK(read_bytes(folder / "t") == file_of(header + "\n", "\1\2\3"));
}

TEST_CASE("npy: legal files from other writers load", "[npy]") {
  const Folder folder;
  const std::string six = "\1\2\3\4\5\6";
  struct Row {
    std::string label;
    std::string bytes;
    Shape shape;
    Values values;
  };
  const std::vector<Row> rows{
      {"version 2", file_of(header_of("'|u1'", "False", "(6,)"), six, 2), {6}, {1, 2, 3, 4, 5, 6}},
      {"version 3", file_of(header_of("'|u1'", "False", "(6,)"), six, 3), {6}, {1, 2, 3, 4, 5, 6}},
      {"Fortran order",
       file_of(header_of("'|u1'", "True", "(2, 3)"), six),
       {2, 3},
       {1, 3, 5, 2, 4, 6}},
      {"Fortran order of a vector",
       file_of(header_of("'|u1'", "True", "(6,)"), six),
       {6},
       {1, 2, 3, 4, 5, 6}},
      {"other keys first, no spaces",
       file_of("{\"shape\":(3,2),\"fortran_order\":False,\"descr\":\"|u1\"}", six),
       {3, 2},
       {1, 2, 3, 4, 5, 6}},
      {"no comma at the end",
       file_of("{'descr': '|i1', 'fortran_order': False, 'shape': ()}", "\x7f"),
       {},
       {127}},
      {"a byte order that means nothing",
       file_of(header_of("'<u1'", "False", "(1,)"), "\1"),
       {1},
       {1}},
      {"nothing", file_of(header_of("'<f8'", "False", "(0, 5)"), ""), {0, 5}, {}},
      {"white space",
       file_of("  { 'descr' : '|b1' ,\n'fortran_order':False, 'shape':( 1 , ) } \n", "\1"),
       {1},
       {1}},
  };
  for (const Row& row : rows) {
    INFO(row.label);
    write_bytes(folder / "t", row.bytes);
    CHECK(message_of_loading(folder / "t") == "loaded");
    const Tensor loaded = load_npy(folder / "t");
    CHECK(loaded.shape() == row.shape);
    CHECK(loaded.to_vector() == row.values);
  }
}

TEST_CASE("npy: every broken rule is reported with the file's name", "[npy]") {
  const Folder folder;
  const auto shaped = [](const std::string& shape) {
    return file_of(header_of("'|u1'", "False", shape), "\1");
  };
  const auto typed = [](const std::string& descr) {
    return file_of(header_of(descr, "False", "(1,)"), "\1");
  };
  const std::string good = header_of("'|u1'", "False", "(1,)");
  struct Row {
    std::string label;
    std::string bytes;
    std::string text;
  };
  const std::vector<Row> rows{
      {"empty", "", "magic"},
      {"another format", std::string(100, 'x'), "magic"},
      {"only magic", "\x93NUMPY", "magic"},
      {"version 4", file_of(good, "\1", 4), "version 4.0"},
      {"version 0", file_of(good, "\1", 0), "version 0.0"},
      {"no length", file_of("", "").substr(0, 9), "ends within its header"},
      {"a short header", file_of(good, "").substr(0, 30), "ends within its header"},
      {"a huge header", file_of(std::string(10'001, ' '), ""), "claims 10001 bytes"},
      {"a header of 4 GB", file_of("", "", 2).substr(0, 8) + "\xff\xff\xff\xff", "4294967295"},
      {"no dictionary", file_of("0", ""), "'{'"},
      {"an unfinished dictionary", file_of("{'descr': '|u1'", ""), "'}'"},
      {"nothing in it", file_of("{}", ""), "needs descr"},
      {"a key missing", file_of("{'descr': '|u1', 'shape': (1,)}", "\1"), "needs descr"},
      {"a key too many", file_of(good.substr(0, good.size() - 2) + "'x': 1}", "\1"),
       "unknown key 'x'"},
      {"a key twice", file_of("{'shape': (1,), 'shape': (1,)}", "\1"), "'shape' twice"},
      {"code", file_of("__import__('os').system('true')", ""), "'{'"},
      {"code as a value", file_of(header_of("'|u1'", "not 0", "(1,)"), "\1"), "neither True"},
      {"code as an extent", shaped("(1+1,)"), "lacks a ')'"},
      {"something behind it", file_of(good + "x", "\1"), "follows the header's dictionary"},
      {"a NUL behind it", file_of(good + std::string(1, '\0'), "\1"), "follows"},
      {"an endless string", file_of("{'descr", ""), "does not end"},
      {"an escape", typed("'\\x7cu1'"), "escape"},
      {"big-endian", typed("'>f4'"), "'>f4' is big-endian: save it with .astype('<f4')"},
      {"objects", typed("'|O'"), "Python objects"},
      {"structured", typed("[('a', '<f4')]"), "structured"},
      {"complex", typed("'<c8'"), "dtype '<c8' is not supported"},
      {"text", typed("'<U5'"), "dtype '<U5' is not supported"},
      {"int16", typed("'<i2'"), "dtype '<i2' is not supported"},
      {"a dtype for the terminal", typed("'\x1b[31m'"), "'?[31m'"},
      {"a dtype that is a number", typed("4"), "lacks a dtype"},
      {"a shape that is a number", shaped("(1)"), "not a tuple"},
      {"a shape that is a list", shaped("[1]"), "lacks a '('"},
      {"a negative extent", shaped("(-1,)"), "something else than numbers"},
      {"an extent of nothing", shaped("(,)"), "something else than numbers"},
      {"a long of Python 2", shaped("(1L,)"), "lacks"},
      {"an extent above 63 bits", shaped("(9223372036854775808,)"), "overflows"},
      {"an overflowing size", shaped("(4611686018427387904, 4611686018427387904)"), "overflows"},
      {"an empty array beyond any memory",
       file_of(header_of("'|u1'", "False", "(0, 4611686018427387904, 4611686018427387904)"), ""),
       "too large"},
      {"more memory than there is", shaped("(1000000000000,)"), "has 1000000000000 bytes, but 1"},
      {"nine dimensions", shaped("(1, 1, 1, 1, 1, 1, 1, 1, 1)"), "more than 8 dimensions"},
      {"bytes missing", shaped("(2,)"), "u8[2] has 2 bytes, but 1 follow"},
      {"bytes left over", shaped("(0,)"), "u8[0] has 0 bytes, but 1 follow"},
      {"a bool of 2", file_of(header_of("'|b1'", "False", "(2,)"), "\1\2"), "element 1 is bool"},
  };
  for (const Row& row : rows) {
    const std::string path = folder / "broken.npy";
    write_bytes(path, row.bytes);
    const std::string message = message_of_loading(path);
    INFO(row.label << ": " << message);
    CHECK(message.find(row.text) != std::string::npos);
    CHECK(message.find(path) == 0);
  }
  CHECK(message_of_loading(folder / "none").find("could not be opened") != std::string::npos);
  CHECK(message_of_loading(folder / ".").find("could not be opened") != std::string::npos);
}

TEST_CASE("npy: what cannot be written is refused before anything is", "[npy]") {
  const Folder folder;
  save_npy(folder / "t", ones({2}));
  const std::string before = read_bytes(folder / "t");
  CHECK_THROWS_WITH(save_npy(folder / "t", ones({2}, {.dtype = bf16})),
                    Contains("bf16") && Contains(".to(dl::f32)"));
  CHECK_THROWS_WITH(save_npy(folder / "t", fake({2})), Contains("fake f32[2]"));
  CHECK_THROWS_AS(save_npy(folder / "t", Tensor()), Error);
  CHECK_THROWS_WITH(save_npy(folder / "no/t", ones({2})), Contains("could not be created"));
  CHECK(read_bytes(folder / "t") == before);
  CHECK(folder.entries() == 1);
}

TEST_CASE("npy: mutated files load or are refused cleanly", "[npy][cpu]") {
  const Folder folder;
  const std::vector<Tensor> originals{ones({2, 3}), arange(3),
                                      tensor({1, 0, 1}, {3, 1}, {.dtype = boolean}), scalar(1)};
  for (const Tensor& original : originals) {
    save_npy(folder / "good", original);
    const auto count = 10'000 / static_cast<int>(originals.size());
    check_mutations(read_bytes(folder / "good"), folder / "mutated", count,
                    [&] { check_readable(load_npy(folder / "mutated")); });
  }
}

TEST_CASE("npy: NumPy reads what is written and writes what is read", "[npy]") {
  if (!numpy_or_skip()) return;
  const Folder folder;
  // Doubles every number it finds, once in each order and version.
  write_bytes(folder / "double.py", R"(import sys
import numpy as np
a = np.load(sys.argv[1])
b = np.logical_not(a) if a.dtype == bool else (a + a).astype(a.dtype)
for order in 'CF':
    for version in (1, 0), (2, 0), (3, 0):
        with open(f'{sys.argv[1]}.{order}{version[0]}', 'wb') as f:
            np.lib.format.write_array(f, np.array(b, order=order), version=version)
)");
  for (const DType dtype : kDtypes) {
    for (const Shape& shape : {Shape{}, Shape{5}, Shape{2, 3, 4}, Shape{2, 0}}) {
      INFO(name(dtype) << to_string(shape));
      const std::string path = folder / (std::string(name(dtype)) + to_string(shape));
      Values values;
      for (std::int64_t i = 0; i < numel(shape); ++i) {
        values.push_back(static_cast<double>(dtype == boolean ? i % 2 : i));
      }
      save_npy(path, tensor(values, shape, {.dtype = dtype}));
      const std::string command =
          "python3 '" + (folder / "double.py") + "' '" + path + "' 2>'" + (folder / "log") + "'";
      REQUIRE(std::system(command.c_str()) == 0);
      for (double& value : values) value = dtype == boolean ? 1 - value : 2 * value;
      for (const char* written : {"C1", "C2", "C3", "F1", "F2", "F3"}) {
        const Tensor loaded = load_npy(path + "." + written);
        CHECK(loaded.dtype() == dtype);
        CHECK(loaded.shape() == shape);
        CHECK(loaded.to_vector() == values);
      }
    }
  }
}
