#include "minidl/core/serialization/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "minidl/core/grad_mode.h"
#include "minidl/core/serialization/atomic_file.h"
#include "minidl/core/serialization/read_elements.h"
#include "minidl/kernels/common/check.h"

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian");

namespace minidl {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMaxHeader = 100'000'000;
constexpr const char* kMetadata = "__metadata__";

constexpr std::array<std::pair<const char*, DType>, 9> kDtypeNames{{{"F64", f64},
                                                                    {"I64", i64},
                                                                    {"F32", f32},
                                                                    {"I32", i32},
                                                                    {"F16", f16},
                                                                    {"BF16", bf16},
                                                                    {"I8", i8},
                                                                    {"U8", u8},
                                                                    {"BOOL", boolean}}};

const char* file_name_of(DType dtype) {
  const auto* found = std::find_if(kDtypeNames.begin(), kDtypeNames.end(),
                                   [dtype](const auto& entry) { return entry.second == dtype; });
  return found->first;
}

// Thrown by the parser below; the reader adds the file's name.
[[noreturn]] void reject(const std::string& why) {
  fail("not a valid safetensors file: {}", why);
}

// The JSON library keeps the last of two equal keys and stops at a NUL; the format forbids both.
Json parse_header(const std::string& text) {
  if (text.find('\0') != std::string::npos) reject("the header is not JSON: it contains a NUL");
  std::vector<std::set<std::string>> keys;
  auto watch = [&keys](int, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second) {
      reject("duplicate key '" + value.get<std::string>() + "' in the header");
    }
    return true;
  };
  try {
    Json header = Json::parse(text, watch);
    if (!header.is_object()) reject("the header is not a JSON object");
    return header;
  } catch (const nlohmann::json::exception& error) {
    reject(fmt::format("the header is not JSON in UTF-8 ({})", error.what()));
  }
}

std::uint64_t unsigned_number(const Json& value, const std::string& name, const char* what) {
  if (!value.is_number_unsigned()) reject(fmt::format("{} of '{}' is not a number", what, name));
  return value.get<std::uint64_t>();
}

struct Entry {
  std::string name;
  DType dtype = f32;
  Shape shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

DType parse_dtype(const Json& value, const std::string& name) {
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  for (const auto& [file_name, dtype] : kDtypeNames) {
    if (text == file_name) return dtype;
  }
  reject(fmt::format("'{}' has the unknown dtype {}", name, text));
}

Entry parse_entry(const std::string& name, const Json& value) {
  if (!value.is_object() || value.size() != 3 || !value.contains("dtype") ||
      !value.contains("shape") || !value.contains("data_offsets")) {
    reject(fmt::format("'{}' must have dtype, shape and data_offsets, and nothing else", name));
  }
  Entry entry{.name = name, .dtype = parse_dtype(value["dtype"], name), .shape = {}};
  const Json& shape = value["shape"];
  if (!shape.is_array()) reject(fmt::format("the shape of '{}' is not a list", name));
  if (shape.size() > kMaxDims) {
    reject(fmt::format("'{}' has {} dimensions; at most {} are supported", name, shape.size(),
                       kMaxDims));
  }
  std::uint64_t bytes = size_of(entry.dtype);
  for (const Json& extent : shape) {
    const std::uint64_t value_of_extent = unsigned_number(extent, name, "an extent");
    if (value_of_extent > INT64_MAX || __builtin_mul_overflow(bytes, value_of_extent, &bytes)) {
      reject(fmt::format("the size of '{}' overflows", name));
    }
    entry.shape.push_back(static_cast<std::int64_t>(value_of_extent));
  }
  const Json& offsets = value["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2) {
    reject(fmt::format("the data_offsets of '{}' are not a pair", name));
  }
  entry.begin = unsigned_number(offsets[0], name, "an offset");
  entry.end = unsigned_number(offsets[1], name, "an offset");
  if (entry.end < entry.begin || entry.end - entry.begin != bytes) {
    reject(fmt::format("'{}' holds {} bytes, but its offsets are {} and {}", name, bytes,
                       entry.begin, entry.end));
  }
  return entry;
}

std::map<std::string, std::string> parse_metadata(const Json& value) {
  if (!value.is_object()) reject("__metadata__ is not an object");
  std::map<std::string, std::string> metadata;
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) reject(fmt::format("__metadata__ '{}' is not a string", key));
    metadata[key] = text.get<std::string>();
  }
  return metadata;
}

// Sorted by offset; together they cover the data exactly once.
std::vector<Entry> parse_entries(const Json& header, std::uint64_t data_bytes) {
  std::vector<Entry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name != kMetadata) entries.push_back(parse_entry(name, value));
  }
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t covered = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != covered) {
      reject(fmt::format("'{}' starts at {}, but the data before it ends at {}", entry.name,
                         entry.begin, covered));
    }
    covered = entry.end;
  }
  if (covered != data_bytes) {
    reject(fmt::format("the tensors end at {}, the data at {}", covered, data_bytes));
  }
  return entries;
}

std::string read_header(std::ifstream& stream, std::uint64_t file_bytes) {
  std::uint64_t length = 0;
  if (file_bytes < sizeof(length)) reject("it is shorter than 8 bytes");
  stream.read(reinterpret_cast<char*>(&length), sizeof(length));
  if (length > kMaxHeader) reject(fmt::format("its header claims {} bytes", length));
  if (length > file_bytes - sizeof(length)) {
    reject(fmt::format("its header claims {} bytes of a file of {}", length, file_bytes));
  }
  std::string header(length, '\0');
  stream.read(header.data(), static_cast<std::streamsize>(length));
  check(stream.good(), "could not be read");
  return header;
}

SafetensorsFile read(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  check(stream.is_open() && std::filesystem::is_regular_file(path),
        "could not be opened; check the path");
  const std::uint64_t file_bytes = std::filesystem::file_size(path);
  const std::string text = read_header(stream, file_bytes);
  const Json header = parse_header(text);

  SafetensorsFile file;
  if (header.contains(kMetadata)) file.metadata = parse_metadata(header[kMetadata]);
  for (const Entry& entry :
       parse_entries(header, file_bytes - sizeof(std::uint64_t) - text.size())) {
    file.tensors.push_back({entry.name, read_elements(stream, entry.shape, entry.dtype)});
  }
  return file;
}

}  // namespace

SafetensorsFile load_safetensors(const std::string& path) {
  try {
    return read(path);
  } catch (Error& error) {
    error.add_context(path);
    throw;
  }
}

namespace {

std::string dump(const std::string& path, const Json& header) {
  try {
    return header.dump();
  } catch (const nlohmann::json::exception&) {
    fail("{}: the names of the tensors and the metadata must be valid UTF-8", path);
  }
}

}  // namespace

void save_safetensors(const std::string& path, const StateDict& tensors,
                      const std::map<std::string, std::string>& metadata) {
  const NoGradGuard no_grad;
  StateDict sorted = tensors;
  std::sort(sorted.begin(), sorted.end(), [](const NamedTensor& a, const NamedTensor& b) {
    const std::size_t size_a = size_of(a.tensor.dtype());
    const std::size_t size_b = size_of(b.tensor.dtype());
    return size_a != size_b ? size_a > size_b : a.name < b.name;
  });

  Json header = Json::object();
  header[kMetadata] = Json::object({{"format", "pt"}});
  for (const auto& [key, value] : metadata) header[kMetadata][key] = value;
  std::uint64_t offset = 0;
  for (const auto& [name, tensor] : sorted) {
    check(!header.contains(name), "{}: two tensors are named '{}'", path, name);
    if (tensor.is_fake()) fail("{}: '{}' has no elements: {}", path, name, describe(tensor));
    const std::uint64_t bytes =
        static_cast<std::uint64_t>(tensor.numel()) * size_of(tensor.dtype());
    header[name] = {
        {"dtype", file_name_of(tensor.dtype())},
        {"shape", std::vector<std::int64_t>(tensor.shape().begin(), tensor.shape().end())},
        {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = dump(path, header);
  text.append((8 - text.size() % 8) % 8, ' ');

  AtomicFile file(path);
  const std::uint64_t length = text.size();
  file.write(&length, sizeof(length));
  file.write(text);
  for (const auto& [name, tensor] : sorted) {
    const Tensor plain = tensor.to(cpu).contiguous();
    file.write(plain.raw_data(), static_cast<std::size_t>(plain.numel()) * size_of(plain.dtype()));
  }
  file.commit();
}

}  // namespace minidl
