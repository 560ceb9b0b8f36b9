#include "records.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <iterator>

#include <fmt/format.h>

#include "minidl/kernels/common/error.h"

namespace minidl::conformance {
namespace {

// A record: its mark, the lengths of name, problem and words, the tolerance; then these three.
constexpr std::uint32_t kMark = 0x6d643031;  // "10dm"

struct Header {
  std::uint32_t mark, name, problem, words;
  double tolerance;
};

std::string take_text(const char*& at, std::uint32_t length) {
  std::string text(at, length);
  at += length;
  return text;
}

std::string compare_exactly(const Words& wanted, const Words& got) {
  std::size_t different = 0, first = 0;
  for (std::size_t i = wanted.size(); i-- > 0;) {
    if (wanted[i] == got[i]) continue;
    ++different;
    first = i;
  }
  if (different == 0) return "";
  return fmt::format("{} of {} words differ, first [{}]: {:08x} expected, {:08x} found", different,
                     wanted.size(), first, wanted[first], got[first]);
}

std::string compare_closely(const Words& wanted, const Words& got, double tolerance) {
  double worst = -1;
  std::size_t where = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    double error =
        std::fabs(double{std::bit_cast<float>(wanted[i])} - std::bit_cast<float>(got[i]));
    if (std::isnan(error)) error = HUGE_VAL;
    if (error > worst) {
      worst = error;
      where = i;
    }
  }
  if (worst <= tolerance) return "";
  return fmt::format("off by {:.3g} at [{}], {:.1g} is allowed: {} expected, {} found", worst,
                     where, tolerance, std::bit_cast<float>(wanted[where]),
                     std::bit_cast<float>(got[where]));
}

Verdict compare(const Record& wanted, const Record* got) {
  Verdict verdict;
  verdict.name = wanted.name;
  if (!wanted.problem.empty()) {
    verdict.note = "no answer to compare with: " + wanted.problem;
  } else if (got == nullptr) {
    verdict.note = "did not run";
  } else if (!got->problem.empty()) {
    verdict.note = got->problem;
  } else if (got->words.size() != wanted.words.size()) {
    verdict.note =
        fmt::format("{} words expected, {} found", wanted.words.size(), got->words.size());
  } else if (wanted.tolerance > 0) {
    verdict.note = compare_closely(wanted.words, got->words, wanted.tolerance);
  } else {
    verdict.note = compare_exactly(wanted.words, got->words);
  }
  verdict.equal = verdict.note.empty();
  if (verdict.equal) {
    verdict.note = wanted.tolerance > 0 ? fmt::format("{} floats within {:.1g}",
                                                      wanted.words.size(), wanted.tolerance)
                                        : fmt::format("{} words equal", wanted.words.size());
  }
  return verdict;
}

}  // namespace

void append(const std::string& file, const Record& record) {
  const auto length = [](const auto& x) { return static_cast<std::uint32_t>(x.size()); };
  const Header header{kMark, length(record.name), length(record.problem), length(record.words),
                      record.tolerance};
  std::ofstream out(file, std::ios::binary | std::ios::app);
  out.write(reinterpret_cast<const char*>(&header), sizeof header);
  out << record.name << record.problem;
  out.write(reinterpret_cast<const char*>(record.words.data()),
            static_cast<std::streamsize>(4 * record.words.size()));
  if (!out.flush()) throw Error(fmt::format("{}: cannot be written", file));
}

Records read_records(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  const std::string data{std::istreambuf_iterator<char>(in), {}};
  Records records;
  const char *at = data.data(), *end = at + data.size();
  while (static_cast<std::size_t>(end - at) >= sizeof(Header)) {
    Header header{};
    std::memcpy(&header, at, sizeof header);
    at += sizeof header;
    if (header.mark != kMark) throw Error(fmt::format("{}: not a file of answers", file));
    const std::size_t bytes =
        std::size_t{header.name} + header.problem + std::size_t{4} * header.words;
    if (static_cast<std::size_t>(end - at) < bytes) break;  // its program was stopped
    Record record;
    record.tolerance = header.tolerance;
    record.name = take_text(at, header.name);
    record.problem = take_text(at, header.problem);
    record.words.resize(header.words);
    std::memcpy(record.words.data(), at, std::size_t{4} * header.words);
    at += std::size_t{4} * header.words;
    records.push_back(std::move(record));
  }
  return records;
}

std::vector<Verdict> compare(const Records& wanted, const Records& got) {
  std::vector<Verdict> verdicts;
  for (const Record& record : wanted) {
    const auto match = std::find_if(got.begin(), got.end(),
                                    [&](const Record& r) { return r.name == record.name; });
    verdicts.push_back(compare(record, match == got.end() ? nullptr : &*match));
  }
  return verdicts;
}

}  // namespace minidl::conformance
