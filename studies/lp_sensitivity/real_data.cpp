// R1 and R2: median regression of diamonds' prices and of visits to a doctor, on samples.
#include <torch/types.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "ritz/base/error.h"
#include "studies/lp_sensitivity/parts.h"

namespace ritz::studies::lp_sensitivity {
namespace {

struct Table {
  std::vector<std::string> names;
  std::vector<std::vector<std::string>> columns;
  const std::vector<std::string>& operator[](const std::string& name) const {
    const auto at = std::find(names.begin(), names.end(), name);
    if (at == names.end()) throw DataError("table", "a column " + name, "none of that name");
    return columns[static_cast<size_t>(at - names.begin())];
  }
};

// Words between commas, quotes taken off; these tables have no commas inside quotes.
Table read_table(const std::string& path) {
  std::ifstream file(path);
  Table table;
  for (std::string line; std::getline(file, line);) {
    std::istringstream cells(line);
    size_t column = 0;
    const bool head = table.names.empty();
    std::vector<std::string> words;
    for (std::string cell; std::getline(cells, cell, ',');) {
      std::erase_if(cell, [](char c) { return c == '"' || c == '\r'; });
      words.push_back(cell);
    }
    if (head) {
      table.names = words;
      table.columns.resize(words.size());
      continue;
    }
    if (words.size() != table.names.size())
      throw DataError("table", std::to_string(table.names.size()) + " cells a row",
                      std::to_string(words.size()), path);
    for (auto& word : words) table.columns[column++].push_back(word);
  }
  return table;
}

Tensor as_numbers(const std::vector<std::string>& words) {
  std::vector<double> values;
  for (const auto& word : words) values.push_back(std::stod(word));
  return torch::tensor(values, torch::kFloat64);
}

// A column of 0 and 1 for every level but the first met.
void add_levels(const std::vector<std::string>& words, std::vector<Tensor>& columns) {
  std::vector<std::string> levels;
  for (const auto& word : words)
    if (std::find(levels.begin(), levels.end(), word) == levels.end()) levels.push_back(word);
  for (size_t k = 1; k < levels.size(); ++k) {
    std::vector<double> values;
    for (const auto& word : words) values.push_back(word == levels[k] ? 1 : 0);
    columns.push_back(torch::tensor(values, torch::kFloat64));
  }
}

struct Problem {
  std::string id, name, file, claim, target;
  std::vector<std::string> numbers, levels;
};

void fit(const StudyContext& context, const Problem& problem, StudyResult& result) {
  const std::string folder = context.data.empty() ? "out/data" : context.data;
  const auto path = (std::filesystem::path(folder) / problem.file).string();
  const std::string criterion =
      "median excess of the sample's fit over all rows, root leverage, m = 1000: <= d / m (the "
      "order "
      "of the theory's eps^2; the sheet has no mark for real data)";
  if (!std::filesystem::exists(path)) {
    result.claims.push_back({.id = problem.id,
                             .claim = problem.claim,
                             .baseline = "the full solve",
                             .criterion = criterion,
                             .holds = false,
                             .note = path +
                                     " is not there; `./dev data` fetches it (or name its folder "
                                     "with --data)"});
    return;
  }
  const auto table = read_table(path);
  const auto b = as_numbers(table[problem.target]);
  std::vector<Tensor> columns = {torch::ones_like(b)};
  for (const auto& name : problem.numbers) columns.push_back(as_numbers(table[name]));
  for (const auto& name : problem.levels) add_levels(table[name], columns);
  const auto A = torch::stack(columns, 1);
  const bool quick = context.scale == Scale::quick;
  const std::vector<double> sizes =
      quick ? std::vector<double>{1000} : std::vector<double>{250, 500, 1000, 2000, 4000, 8000};
  const auto excess = measure_excess(context, problem.name, A, b, sizes, 1000, quick ? 3 : 8);
  const double bound = static_cast<double>(A.size(1)) / 1000;
  result.claims.push_back(
      {.id = problem.id,
       .claim = problem.claim,
       .baseline = "the full solve; leverage, uniform and Lewis sampling",
       .criterion = criterion,
       .measured = {{"root leverage", excess.at_size[0]},
                    {"root leverage, half quartile distance", excess.spread_at_size[0]},
                    {"leverage", excess.at_size[1]},
                    {"uniform", excess.at_size[2]},
                    {"Lewis weights", excess.at_size[3]},
                    {"d / m", bound},
                    {"rows", static_cast<double>(A.size(0))},
                    {"columns", static_cast<double>(A.size(1))},
                    {"mean absolute error of the full fit",
                     excess.optimum / static_cast<double>(A.size(0))},
                    {"duality gap of the full solve", excess.optimum_gap},
                    {"seconds, full solve", excess.optimum_seconds}},
       .holds = excess.at_size[0] <= bound});
  show_excess(excess, problem.name,
              "Excess of the objective over all rows, when the fit is made on the sample.", result);
}

}  // namespace

void real_data(const StudyContext& context, StudyResult& result) {
  fit(context,
      {.id = "R1",
       .name = "diamonds",
       .file = "plotnine/data/diamonds.csv",
       .claim =
           "Prices of 53 940 diamonds: the median regression on 1000 of them is nearly as good",
       .target = "price",
       .numbers = {"carat", "depth", "table", "x", "y", "z"},
       .levels = {"cut", "color", "clarity"}},
      result);
  fit(context,
      {.id = "R2",
       .name = "randhie",
       .file = "statsmodels/datasets/randhie/randhie.csv",
       .claim =
           "Visits to a doctor in 20 190 person-years (RAND): the median regression on 1000 of "
           "them is nearly as good",
       .target = "mdvis",
       .numbers = {"lncoins", "idp", "lpi", "fmde", "physlm", "disea", "hlthg", "hlthf", "hlthp"},
       .levels = {}},
      result);
}

}  // namespace ritz::studies::lp_sensitivity
