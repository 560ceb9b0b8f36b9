#include "minidl/nn/graph/graph.h"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>
#include <utility>

#include "minidl/core/grad_mode.h"
#include "minidl/kernels/common/check.h"

namespace minidl {
namespace {

bool same_geometry(const TensorSpec& a, const TensorSpec& b) {
  if (a.shape != b.shape || a.dtype != b.dtype || a.device != b.device) return false;
  for (int i = 0; i < a.dim(); ++i) {
    if (a.shape[i] > 1 && a.strides[i] != b.strides[i]) return false;
  }
  return true;
}

// "f32[1, 64, 32, 32] nhwc"
std::string text_of(const TensorSpec& spec) {
  std::string text = fmt::format("{}{}", spec.dtype, spec.shape);
  if (is_contiguous(spec.shape, spec.strides)) return text;
  if (is_channels_last(spec.shape, spec.strides)) return text + " nhwc";
  return text + fmt::format(" strides {}", spec.strides);
}

// "9,750,922"
std::string grouped(std::int64_t number) {
  std::string text = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3) {
    text.insert(static_cast<std::size_t>(at), ",");
  }
  return text;
}

// "12.3 MiB"
std::string bytes_text(std::int64_t bytes) {
  constexpr std::array units{"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return fmt::format("{} bytes", bytes);
  auto amount = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  for (; amount >= 1024 && unit + 1 < units.size(); ++unit) amount /= 1024;
  return fmt::format("{:.1f} {}", amount, units[unit]);
}

std::string counted(std::size_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

// Left-aligned columns, as wide as their longest cell; the last one is not filled up.
class Table {
 public:
  static constexpr std::size_t kColumns = 6;
  using Row = std::array<std::string, kColumns>;

  void add(Row row) { rows_.push_back(std::move(row)); }

  std::string to_string() const {
    std::array<std::size_t, kColumns> widths{};
    for (const Row& row : rows_) {
      for (std::size_t i = 0; i < kColumns; ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string text;
    for (const Row& row : rows_) {
      std::string line;
      for (std::size_t i = 0; i < kColumns; ++i) {
        if (widths[i] > 0) line += fmt::format("{:<{}}  ", row[i], widths[i]);
      }
      line.resize(line.find_last_not_of(' ') + 1);
      text += line + "\n";
    }
    return text;
  }

 private:
  std::vector<Row> rows_;
};

class Listing {
 public:
  explicit Listing(const Graph& graph) : graph_(graph), is_read_(graph.values.size()) {
    for (const Graph::Step& step : graph.steps) mark_read(step.operands);
    mark_read(graph.outputs);
  }

  std::string to_string() {
    for (const Graph::Id id : graph_.inputs) add_source("input", id);
    for (Graph::Id id = 0; id < graph_.values.size(); ++id) {
      if (graph_.values[id].kind == Graph::Kind::constant) add_source("constant", id);
    }
    for (const Graph::Step& step : graph_.steps) add_step(step);
    table_.add({"output", "", names(graph_.outputs, ""), "", "", ""});
    return headline() + table_.to_string();
  }

 private:
  void mark_read(const std::vector<Graph::Id>& ids) {
    for (const Graph::Id id : ids) {
      if (id != Graph::kNone) is_read_[id] = true;
    }
  }

  std::string headline() const {
    return fmt::format(
        "{}, {}, {}, {} parameters, {} of results\n", counted(graph_.inputs.size(), "input"),
        counted(graph_.outputs.size(), "output"), counted(graph_.steps.size(), "step"),
        grouped(graph_.parameter_count()), bytes_text(graph_.result_bytes()));
  }

  void add_source(const char* what, Graph::Id id) {
    const Graph::Value& value = graph_.values[id];
    table_.add({what, "", "", "", "-> " + value.name, text_of(value.spec)});
  }

  void add_step(const Graph::Step& step) {
    Table::Row row{step.op->name(),       step.module, names(step.operands, step.module),
                   step.op->attributes(), "",          ""};
    for (const Graph::Id id : step.results) {
      if (id != step.results.front() && !is_read_[id]) continue;
      const Graph::Value& value = graph_.values[id];
      row[4] = "-> " + value.name;
      row[5] = text_of(value.spec) + (value.spec.alias_offset ? " view" : "");
      table_.add(std::move(row));
      row = {};
    }
  }

  std::string names(const std::vector<Graph::Id>& ids, const std::string& module) const {
    std::string text;
    const auto given =
        std::find_if(ids.rbegin(), ids.rend(), [](Graph::Id id) { return id != Graph::kNone; });
    for (const Graph::Id id : std::span(ids.begin(), given.base())) {
      if (!text.empty()) text += ", ";
      text += id == Graph::kNone ? "-" : name(graph_.values[id], module);
    }
    return text;
  }

  static std::string name(const Graph::Value& value, const std::string& module) {
    const bool own = value.kind == Graph::Kind::parameter || value.kind == Graph::Kind::buffer;
    const bool of_module = !module.empty() && value.name.starts_with(module + ".");
    return own && of_module ? value.name.substr(module.size()) : value.name;
  }

  const Graph& graph_;
  std::vector<bool> is_read_;
  Table table_;
};

void check_input(const Graph::Value& value, const Tensor& tensor) {
  check(tensor.defined(), "replay: '{}' is undefined", value.name);
  const TensorSpec spec = spec_of(tensor);
  if (same_geometry(value.spec, spec)) return;
  fail("replay: the graph was traced with '{}' {} on {}, not {} on {}", value.name,
       text_of(value.spec), to_string(value.spec.device), text_of(spec), to_string(spec.device));
}

}  // namespace

std::int64_t Graph::parameter_count() const {
  std::int64_t count = 0;
  for (const Value& value : values) {
    if (value.kind == Kind::parameter) count += value.spec.numel();
  }
  return count;
}

std::int64_t Graph::result_bytes() const {
  std::int64_t bytes = 0;
  for (const Value& value : values) {
    if (value.kind != Kind::result || value.spec.alias_offset) continue;
    bytes += value.spec.numel() * static_cast<std::int64_t>(size_of(value.spec.dtype));
  }
  return bytes;
}

std::string Graph::to_string() const {
  return Listing(*this).to_string();
}

Tensors replay(const Graph& graph, const Tensors& inputs) {
  check(inputs.size() == graph.inputs.size(), "replay: the graph has {} inputs, not {}",
        graph.inputs.size(), inputs.size());
  Tensors tensors;
  for (const Graph::Value& value : graph.values) tensors.push_back(value.tensor);
  for (std::size_t i = 0; i < inputs.size(); ++i) tensors[graph.inputs[i]] = inputs[i];
  for (Graph::Id id = 0; id < graph.values.size(); ++id) {
    if (graph.values[id].kind != Graph::Kind::result) check_input(graph.values[id], tensors[id]);
  }

  const NoGradGuard no_grad;
  const auto pick = [&tensors](const std::vector<Graph::Id>& ids) {
    Tensors picked;
    for (const Graph::Id id : ids) picked.push_back(id == Graph::kNone ? Tensor() : tensors[id]);
    return picked;
  };
  for (const Graph::Step& step : graph.steps) {
    try {
      const Tensors results = apply_op(step.op, pick(step.operands));
      for (std::size_t i = 0; i < results.size(); ++i) tensors[step.results[i]] = results[i];
    } catch (Error& error) {
      if (!step.module.empty()) error.add_module(step.module);
      throw;
    }
  }
  return pick(graph.outputs);
}

}  // namespace minidl
