// The safetensors file format: u64 little-endian header length, a JSON header, the elements.
// https://huggingface.co/docs/safetensors
#pragma once

#include <map>
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

/// Reads a file onto the CPU, checking every rule of the format. Throws Error naming the file and
/// what is wrong with it.
SafetensorsFile load_safetensors(const std::string& path);

}  // namespace minidl
