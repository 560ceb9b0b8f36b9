// The safetensors file format: u64 little-endian header length, a JSON header, the elements.
// https://huggingface.co/docs/safetensors
#pragma once

#include <map>
#include <optional>
#include <string>

#include "minidl/core/state_dict.h"

namespace minidl {

/// The tensors of a file and the notes in its header.
struct SafetensorsFile {
  StateDict tensors;                            ///< in the order of their data
  std::map<std::string, std::string> metadata;  ///< "__metadata__"
};

/// Writes tensors (from any device, in logical row-major order) so that every other reader can load
/// them: by falling dtype size, then name; the header padded to 8 bytes; metadata {"format": "pt"}
/// and what is given. Atomic: `path` is the old file or the whole new one. Throws Error on two
/// tensors of one name, on fake ones and on I/O errors.
void save_safetensors(const std::string& path, const StateDict& tensors,
                      const std::map<std::string, std::string>& metadata = {});

struct SafetensorsOptions {
  /// What floating-point tensors become; the others stay as they are. Nothing: as in the file.
  std::optional<DType> dtype = {};
  Device device = cpu;
  /// Tensors lie in the file, mapped into memory, where they can (see load_safetensors).
  bool map = true;
};

/// Reads a file, checking every rule of the format. Throws Error naming the file and what is wrong
/// with it.
///
/// Nothing is copied: the tensors share one private mapping of the file, which goes with the last
/// of them, and their pages are read when they are first touched. Changing a tensor copies the
/// pages it touches and never reaches the file. What does not lie aligned to its size in the file,
/// bools (which are checked), and what is converted or goes to another device gets memory of its
/// own.
///
/// As with any mapped file, the tensors may change while somebody overwrites the file in its place,
/// and the process is killed by SIGBUS when it touches what somebody has cut off. Replacing the
/// file, as save_safetensors does, leaves its tensors alone. Where neither can be relied on,
/// `map = false` reads everything into memory at once.
SafetensorsFile load_safetensors(const std::string& path, const SafetensorsOptions& options = {});

/// What is in a file: as load_safetensors, but the tensors are fake. Reads the header only, and
/// checks it as strictly.
SafetensorsFile inspect_safetensors(const std::string& path);

}  // namespace minidl
