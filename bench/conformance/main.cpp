// conformance: does a GPU do what the emulator says?
//
//     conformance answers FILE           runs all cases on this device and keeps the answers
//     conformance compare WANTED FOUND   two such files, case by case
//     conformance list                   the names
//     conformance device                 the GPU, or (exit code 3) why there is none
//
// bench/gpu_day takes the answers of an emulated build along and compares those of the GPU with
// them.

#include <unistd.h>

#include <cstdio>
#include <exception>
#include <fstream>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "case.h"
#include "records.h"
#include "runner.h"

namespace minidl::conformance {
namespace {

int print_device() {
  const std::string why = why_no_device();
  fmt::print("{}\n", why.empty() ? describe_device() : "no GPU: " + why);
  return why.empty() ? 0 : 3;
}

int write_answers(const std::string& file, double limit) {
  unlink(file.c_str());
  const Cases cases = all_cases();
  const int failures = run_cases(cases, file, limit);
  fmt::print("{} cases, {} without an answer\n", cases.size(), failures);
  return failures == 0 ? 0 : 1;
}

int compare_files(const std::string& wanted, const std::string& found, const std::string& json) {
  const std::vector<Verdict> verdicts = compare(read_records(wanted), read_records(found));
  int differ = 0;
  nlohmann::json all = nlohmann::json::array();
  for (const Verdict& verdict : verdicts) {
    if (!verdict.equal) ++differ;
    fmt::print("{:8} {:60} {}\n", verdict.equal ? "equal" : "DIFFERS", verdict.name, verdict.note);
    all.push_back({{"case", verdict.name}, {"equal", verdict.equal}, {"note", verdict.note}});
  }
  fmt::print("conformance: {} of {} cases equal\n",
             verdicts.size() - static_cast<std::size_t>(differ), verdicts.size());
  if (!json.empty()) std::ofstream(json) << all.dump(1) << '\n';
  return differ == 0 && !verdicts.empty() ? 0 : 1;
}

int run(int argc, char** argv) {
  CLI::App app{"Compares a GPU's answers with the emulator's."};
  app.require_subcommand(1);
  std::string wanted, found, json;
  double limit = 20;
  auto* answers = app.add_subcommand("answers", "Run all cases and keep what they give");
  answers->add_option("FILE", found, "The answers")->required();
  answers->add_option("--limit", limit, "Seconds for each case")->capture_default_str();
  auto* comparison = app.add_subcommand("compare", "Compare two files of answers");
  comparison->add_option("WANTED", wanted, "The emulator's")->required()->check(CLI::ExistingFile);
  comparison->add_option("FOUND", found, "The GPU's")->required()->check(CLI::ExistingFile);
  comparison->add_option("--json", json, "Also write the verdicts to this file");
  auto* device = app.add_subcommand("device", "Print the GPU's name, or why there is none");
  app.add_subcommand("list", "Print the names of the cases");
  CLI11_PARSE(app, argc, argv);
  if (answers->parsed()) return write_answers(found, limit);
  if (comparison->parsed()) return compare_files(wanted, found, json);
  if (device->parsed()) return print_device();
  for (const Case& c : all_cases()) fmt::print("{}\n", c.name);
  return 0;
}

}  // namespace

Cases all_cases() {
  Cases cases;
  for (auto* add : {add_basic, add_matrix, add_copies, add_clusters, add_tma, add_im2col, add_bulk,
                    add_wgmma_f16, add_wgmma_bf16, add_wgmma_s8, add_wgmma_fp8, add_wgmma_tf32}) {
    add(cases);
  }
  return cases;
}

}  // namespace minidl::conformance

int main(int argc, char** argv) {
  try {
    return minidl::conformance::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "conformance: {}\n", error.what());
    return 1;
  }
}
