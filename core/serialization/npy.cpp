#include "minidl/core/serialization/npy.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "minidl/core/grad_mode.h"
#include "minidl/core/serialization/atomic_file.h"
#include "minidl/core/serialization/input_file.h"
#include "minidl/kernels/common/check.h"

static_assert(std::endian::native == std::endian::little, "the elements are little-endian");

namespace minidl {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::uint32_t kMaxHeader = 10'000;
constexpr std::size_t kAlignment = 64;  // of the elements, in what is written

// As NumPy writes them. Byte order means nothing to the short ones.
constexpr std::array<std::pair<std::string_view, DType>, 8> kDescriptions{{{"<f2", f16},
                                                                           {"<f4", f32},
                                                                           {"<f8", f64},
                                                                           {"|i1", i8},
                                                                           {"|u1", u8},
                                                                           {"<i4", i32},
                                                                           {"<i8", i64},
                                                                           {"|b1", boolean}}};

// Thrown while reading; the reader adds the file's name.
[[noreturn]] void reject(const std::string& why) {
  fail("not a valid .npy file: {}", why);
}

// What a header says.
struct Header {
  std::optional<DType> dtype;
  std::optional<bool> fortran_order;
  std::optional<Shape> shape;
};

// Reads the one kind of dictionary that occurs; a general Python literal is none of our business.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : text_(text) {}

  Header parse() {
    Header header;
    expect('{');
    while (!accept('}')) {
      const std::string_view key = string("a key");
      expect(':');
      if (key == "descr") {
        set(header.dtype, key, dtype());
      } else if (key == "fortran_order") {
        set(header.fortran_order, key, boolean_value());
      } else if (key == "shape") {
        set(header.shape, key, shape());
      } else {
        reject(fmt::format("the header has the unknown key '{}'", printable(key)));
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (at_ != text_.size()) reject("something follows the header's dictionary");
    if (!header.dtype || !header.fortran_order || !header.shape) {
      reject("the header needs descr, fortran_order and shape");
    }
    return header;
  }

 private:
  template <class T>
  static void set(std::optional<T>& target, std::string_view key, const T& value) {
    if (target) reject(fmt::format("the header names '{}' twice", key));
    target = value;
  }

  void skip_space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != text_.npos) ++at_;
  }

  bool accept(char wanted) {
    skip_space();
    if (at_ == text_.size() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }

  void expect(char wanted) {
    if (!accept(wanted)) {
      reject(fmt::format("the header lacks a '{}' at its byte {}", wanted, at_));
    }
  }

  std::string_view string(const char* what) {
    const char quote = accept('\'') ? '\'' : '"';
    if (quote == '"' && !accept('"')) reject(fmt::format("the header lacks {}", what));
    const std::size_t end = text_.find(quote, at_);
    if (end == text_.npos) reject("a string in the header does not end");
    const std::string_view value = text_.substr(at_, end - at_);
    at_ = end + 1;
    if (value.find('\\') != value.npos) reject("a string in the header has an escape");
    return value;
  }

  DType dtype() {
    skip_space();
    if (at_ < text_.size() && text_[at_] == '[') {
      reject("structured dtypes are not supported: save the fields one by one");
    }
    const std::string_view text = string("a dtype");
    for (const auto& [description, dtype] : kDescriptions) {
      const bool is_short = description[0] == '|';
      const bool order_fits =
          text.substr(0, 1) == description.substr(0, 1) || (is_short && text.substr(0, 1) == "<");
      if (order_fits && text.substr(1) == description.substr(1)) return dtype;
    }
    if (text.substr(0, 1) == ">") {
      reject(fmt::format("dtype '{}' is big-endian: save it with .astype('<{}')", printable(text),
                         printable(text.substr(1))));
    }
    if (text.substr(0, 2) == "|O") {
      reject("dtype '|O' holds Python objects, which could run code when read");
    }
    reject(fmt::format("dtype '{}' is not supported: convert it with .astype", printable(text)));
  }

  bool boolean_value() {
    skip_space();
    for (const bool value : {false, true}) {
      const std::string_view word = value ? "True" : "False";
      if (text_.substr(at_, word.size()) != word) continue;
      at_ += word.size();
      return value;
    }
    reject("fortran_order is neither True nor False");
  }

  Shape shape() {
    Shape result;
    expect('(');
    while (!accept(')')) {
      const std::int64_t value = extent();
      if (result.size() == kMaxDims) {
        reject(fmt::format("the array has more than {} dimensions", kMaxDims));
      }
      result.push_back(value);
      if (accept(',')) continue;
      expect(')');
      if (result.size() == 1) reject("the shape is not a tuple");  // (3) is a number
      break;
    }
    return result;
  }

  std::int64_t extent() {
    skip_space();
    const std::size_t begin = at_;
    std::int64_t value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      if (__builtin_mul_overflow(value, 10, &value) ||
          __builtin_add_overflow(value, text_[at_] - '0', &value)) {
        reject("an extent of the shape overflows");
      }
    }
    if (at_ == begin) reject("the shape has something else than numbers in it");
    return value;
  }

  // For error messages: nothing that a terminal would obey.
  static std::string printable(std::string_view text) {
    std::string result(text.substr(0, 40));
    std::replace_if(
        result.begin(), result.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    return result;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

std::uint64_t bytes_of(const Shape& shape, DType dtype) {
  std::uint64_t bytes = size_of(dtype);
  for (const std::int64_t extent : shape) {
    if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(extent), &bytes)) {
      reject("the size of the array overflows");
    }
  }
  return bytes;
}

// Little-endian, `Length` being what the version counts the header in.
template <class Length>
std::uint32_t read_length(InputFile& file) {
  if (file.remaining() < sizeof(Length)) reject("it ends within its header");
  Length length = 0;
  file.read(&length, sizeof(length));
  return length;
}

std::string read_header(InputFile& file) {
  std::array<char, kMagic.size() + 2> start{};
  if (file.remaining() >= start.size()) file.read(start.data(), start.size());
  if (std::string_view(start.data(), kMagic.size()) != kMagic) {
    reject("it does not start with NumPy's magic string");
  }
  const int major = static_cast<unsigned char>(start[kMagic.size()]);
  const int minor = static_cast<unsigned char>(start[kMagic.size() + 1]);
  if (major < 1 || major > 3 || minor != 0) {
    reject(fmt::format("version {}.{} is none of 1.0, 2.0 and 3.0", major, minor));
  }
  const std::uint32_t length =
      major == 1 ? read_length<std::uint16_t>(file) : read_length<std::uint32_t>(file);
  if (length > kMaxHeader) {
    reject(fmt::format("its header claims {} bytes; at most {} are read", length, kMaxHeader));
  }
  if (length > file.remaining()) reject("it ends within its header");
  std::string header(length, '\0');
  file.read(header.data(), header.size());
  return header;
}

Dims reversed(Dims dims) {
  std::reverse(dims.begin(), dims.end());
  return dims;
}

Tensor read(const std::string& path) {
  InputFile file(path);
  const std::string text = read_header(file);
  const Header header = HeaderParser(text).parse();
  const std::uint64_t bytes = bytes_of(*header.shape, *header.dtype);
  if (bytes != file.remaining()) {
    reject(fmt::format("an array {}{} has {} bytes, but {} follow the header", *header.dtype,
                       *header.shape, bytes, file.remaining()));
  }
  if (!*header.fortran_order) return file.read_tensor(*header.shape, *header.dtype);
  Dims order;
  for (int dim = header.shape->size() - 1; dim >= 0; --dim) order.push_back(dim);
  return file.read_tensor(reversed(*header.shape), *header.dtype).permute(order);
}

std::string shape_text(const Shape& shape) {
  std::string text;
  for (const std::int64_t extent : shape) {
    text += fmt::format("{}{}", text.empty() ? "" : ", ", extent);
  }
  return fmt::format("({}{})", text, shape.size() == 1 ? "," : "");
}

}  // namespace

Tensor load_npy(const std::string& path) {
  try {
    return read(path);
  } catch (Error& error) {
    error.add_context(path);
    throw;
  }
}

void save_npy(const std::string& path, const Tensor& tensor) {
  const NoGradGuard no_grad;
  if (tensor.is_fake()) fail("{}: there are no elements to save: {}", path, describe(tensor));
  const DType dtype = tensor.dtype();
  const auto* found = std::find_if(kDescriptions.begin(), kDescriptions.end(),
                                   [&](const auto& entry) { return entry.second == dtype; });
  check(found != kDescriptions.end(), "{}: NumPy has no {}; convert it with .to(dl::f32)", path,
        dtype);
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}",
                                   found->first, shape_text(tensor.shape()));
  const std::size_t start = kMagic.size() + 2 + sizeof(std::uint16_t);
  const std::size_t unpadded = start + header.size() + 1;
  header.append((kAlignment - unpadded % kAlignment) % kAlignment, ' ').push_back('\n');
  const auto length = static_cast<std::uint16_t>(header.size());

  const Tensor plain = tensor.to(cpu).contiguous();
  AtomicFile file(path);
  file.write(kMagic.data(), kMagic.size());
  file.write("\x01\x00", 2);
  file.write(&length, sizeof(length));
  file.write(header);
  file.write(plain.raw_data(), static_cast<std::size_t>(plain.numel()) * size_of(dtype));
  file.commit();
}

}  // namespace minidl
