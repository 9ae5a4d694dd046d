#pragma once
// `ritz fisher`: one command a question about the inverse of a damped empirical Fisher matrix.
#include <string>
#include <string_view>
#include <vector>

#include "apps/ritz/commands/block_option.h"
#include "apps/ritz/frame/command.h"
#include "ritz/base/error.h"

namespace ritz::app {

/// What all of them take.
struct FisherOptions {
  std::string gradients;
  double damping = 1e-5;
  std::string block = "none";
  int64_t memory_limit = 0;
  std::vector<int64_t> segments;

  void declare(Options& options) {
    options
        .positional(
            "GRADIENTS", gradients,
            "m gradients as rows [m, d]: any array file; float16 and bfloat16 too; .npy and "
            ".safetensors may be larger than memory")
        .required();
    options.option("--damping", damping, "L", "lambda in F = lambda I + G^T G / m").above(0);
    declare_block(options, block, "the blocks of N coordinates on F's diagonal alone");
    options
        .option("--segments", segments, "N,N,...",
                "lengths of the tensors that make up d: no block crosses from one into the next")
        .at_least(1);
    options
        .option("--memory-limit", memory_limit, "BYTES",
                "beyond it the rows are read anew for each product; 0: 80 % of what is free")
        .at_least(0);
  }
};

inline constexpr std::string_view kFisherDescription =
    "F = lambda I + G^T G / m for m gradients of length d, each of the mean loss over a "
    "mini-batch. "
    "The inverse is exact to rounding (M-FAC) and never formed. The more samples a mini-batch has, "
    "the smaller is the noise in F, and the more lambda counts.";

struct FisherIhvp {
  static constexpr std::string_view kName = "fisher ihvp";
  static constexpr std::string_view kSummary = "F^-1 x for a vector or for columns";
  static constexpr std::string_view kDescription = kFisherDescription;
  static constexpr std::string_view kExample =
      "ritz data make gradient-rows --rows 99 --columns 99 --out g1.npy && ritz fisher ihvp g1.npy "
      "g1.npy --out y.npy";
  FisherOptions fisher;
  std::string x;
  void declare(Options& options) {
    fisher.declare(options);
    options.positional("X", x, "[d] or [d, k]").required();
    options.output_file("F^-1 x, of x's shape");
  }
  void run(Run& run) const;
};

struct FisherDiag {
  static constexpr std::string_view kName = "fisher diag";
  static constexpr std::string_view kSummary = "the diagonal of F^-1";
  static constexpr std::string_view kDescription = kFisherDescription;
  static constexpr std::string_view kExample =
      "ritz data make gradient-rows --columns 99 --out g2.npy && ritz fisher diag g2.npy --out "
      "d.npy";
  FisherOptions fisher;
  void declare(Options& options) {
    fisher.declare(options);
    options.output_file("the diagonal, [d]");
  }
  void run(Run& run) const;
};

struct FisherColumns {
  static constexpr std::string_view kName = "fisher columns";
  static constexpr std::string_view kSummary = "columns of F^-1";
  static constexpr std::string_view kDescription = kFisherDescription;
  static constexpr std::string_view kExample =
      "ritz data make gradient-rows --columns 99 --out g3.npy && ritz fisher columns g3.npy --at "
      "0,7 "
      "--out columns.npy";
  FisherOptions fisher;
  std::vector<int64_t> at;
  void declare(Options& options) {
    fisher.declare(options);
    options.option("--at", at, "K,K,...", "which columns, from 0").at_least(0).required();
    options.output_file("the columns, [d, n]");
  }
  void run(Run& run) const;
};

struct FisherElements {
  static constexpr std::string_view kName = "fisher elements";
  static constexpr std::string_view kSummary = "single elements of F^-1, O(m) each";
  static constexpr std::string_view kDescription = kFisherDescription;
  static constexpr std::string_view kExample =
      "ritz data make gradient-rows --columns 99 --out g4.npy && ritz fisher elements g4.npy --at "
      "'0,0;0,7'";
  FisherOptions fisher;
  std::string at;
  void declare(Options& options);
  void run(Run& run) const;
};

struct FisherSpectrumCommand {
  static constexpr std::string_view kName = "fisher spectrum";
  static constexpr std::string_view kSummary = "the eigenvalues of F";
  static constexpr std::string_view kDescription = kFisherDescription;
  static constexpr std::string_view kExample =
      "ritz data make gradient-rows --columns 99 --out g5.npy && ritz fisher spectrum g5.npy";
  FisherOptions fisher;
  void declare(Options& options) {
    fisher.declare(options);
    options.output_file("the eigenvalues that exceed lambda, descending");
  }
  void run(Run& run) const;
};

/// "j,k;j,k;..." as pairs, j k j k ...; empty where the text has another form.
inline std::vector<int64_t> parse_pairs(const std::string& text) {
  std::vector<int64_t> numbers;
  size_t begin = 0;
  while (begin <= text.size()) {
    const bool first = numbers.size() % 2 == 0;
    size_t end = text.find(first ? ',' : ';', begin);
    if (end == text.npos) end = text.size();
    const std::string word = text.substr(begin, end - begin);
    if (word.empty() || word.size() > 18 || word.find_first_not_of("0123456789") != word.npos) {
      return {};
    }
    numbers.push_back(std::stoll(word));
    begin = end + 1;
  }
  return numbers.size() % 2 == 0 ? numbers : std::vector<int64_t>();
}

inline void FisherElements::declare(Options& options) {
  fisher.declare(options);
  options.option("--at", at, "J,K;J,K;...", "row and column of each element, from 0")
      .required()
      .verify = [](const std::string& text) {
    return parse_pairs(text).empty() ? "J,K;J,K;... in whole numbers from 0" : "";
  };
  options.output_file("the elements, [n]");
}

}  // namespace ritz::app
