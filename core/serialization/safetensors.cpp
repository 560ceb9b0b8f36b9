#include "minidl/core/serialization/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "minidl/core/grad_mode.h"
#include "minidl/core/serialization/atomic_file.h"
#include "minidl/core/serialization/input_file.h"
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

// The JSON library keeps the last of two equal keys, stops at a NUL and skips a byte order mark;
// the format forbids all of them.
Json parse_header(const std::string& text) {
  if (text.find('\0') != std::string::npos) reject("the header is not JSON: it contains a NUL");
  if (text.starts_with("\xEF\xBB\xBF")) reject("the header is not JSON: it starts with a BOM");
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

std::string read_header(InputFile& file) {
  const std::uint64_t file_bytes = file.remaining();
  std::uint64_t length = 0;
  if (file_bytes < sizeof(length)) reject("it is shorter than 8 bytes");
  file.read(&length, sizeof(length));
  if ((length & 0xffff) == 0x4b50) {  // "PK", how zip files begin
    reject(
        "it is a zip file, as torch.save writes them; in Python, "
        "safetensors.torch.save_file(model.state_dict(), path) writes what can be read here");
  }
  if (length > kMaxHeader) reject(fmt::format("its header claims {} bytes", length));
  if (length > file.remaining()) {
    reject(fmt::format("its header claims {} bytes of a file of {}", length, file_bytes));
  }
  std::string header(length, '\0');
  file.read(header.data(), header.size());
  return header;
}

struct Contents {
  std::vector<Entry> entries;
  std::map<std::string, std::string> metadata;
};

// Leaves the file at its data.
Contents read_contents(InputFile& file) {
  const Json header = parse_header(read_header(file));
  Contents contents{.entries = parse_entries(header, file.remaining()), .metadata = {}};
  if (header.contains(kMetadata)) contents.metadata = parse_metadata(header[kMetadata]);
  return contents;
}

// The entry at the position of the file, which moves behind it.
Tensor next_tensor(InputFile& file, const std::shared_ptr<std::byte>& mapping, const Entry& entry) {
  const std::uint64_t position = file.position();
  const bool is_aligned = position % size_of(entry.dtype) == 0;
  // A bool is looked at before anybody may, and the file's could change behind us.
  if (!mapping || !is_aligned || entry.dtype == boolean || entry.begin == entry.end) {
    return file.read_tensor(entry.shape, entry.dtype);
  }
  file.skip(entry.end - entry.begin);
  return from_blob(mapping.get() + position, entry.shape, {.dtype = entry.dtype}, {},
                   [mapping](void*) {});
}

SafetensorsFile read(const std::string& path, const SafetensorsOptions& options) {
  check(!options.dtype || is_floating_point(*options.dtype),
        "load_safetensors: dtype converts floating-point tensors to another such type, not to {}",
        options.dtype.value_or(f32));
  const NoGradGuard no_grad;
  InputFile file(path);
  Contents contents = read_contents(file);
  const std::shared_ptr<std::byte> mapping = options.map ? file.map() : nullptr;
  SafetensorsFile result{.tensors = {}, .metadata = std::move(contents.metadata)};
  for (const Entry& entry : contents.entries) {
    const Tensor tensor = next_tensor(file, mapping, entry);
    const bool converts = options.dtype && is_floating_point(entry.dtype);
    result.tensors.push_back(
        {entry.name, tensor.to(options.device, converts ? *options.dtype : entry.dtype)});
  }
  return result;
}

SafetensorsFile inspect(const std::string& path) {
  InputFile file(path);
  Contents contents = read_contents(file);
  SafetensorsFile result{.tensors = {}, .metadata = std::move(contents.metadata)};
  for (const Entry& entry : contents.entries) {
    result.tensors.push_back(
        {entry.name, fake(entry.shape, {.dtype = entry.dtype, .device = cpu})});
  }
  return result;
}

template <class Function>
SafetensorsFile naming(const std::string& path, const Function& function) {
  try {
    return function();
  } catch (Error& error) {
    error.add_context(path);
    throw;
  }
}

}  // namespace

SafetensorsFile load_safetensors(const std::string& path, const SafetensorsOptions& options) {
  return naming(path, [&] { return read(path, options); });
}

SafetensorsFile inspect_safetensors(const std::string& path) {
  return naming(path, [&] { return inspect(path); });
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
