#pragma once
// A study re-measures what a method's paper claims. One function a method, in studies/SLUG.cpp:
//
//     StudyResult study_batch_scaling(const StudyContext& context) {
//       StudyResult result;
//       ...
//       result.claims.push_back({.id = "a-H", .claim = "...", .baseline = "...", .criterion =
//       "within 3 %",
//                                .measured = {{"worst_error", worst}}, .holds = worst <= 0.03});
//       result.series.push_back({.name = "extremes", .columns = {{"B", sizes}, {"lambda_1",
//       values}}}); result.figures.push_back({.name = "extremes", .caption = "...", .figure =
//       {...}}); return result;
//     }
//
// and one line in the table of studies/table.cpp. The frame (ritz study) writes results.json, the
// series as CSV, the pictures as SVG and the page.
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "ritz/io/plot.h"

namespace ritz::studies {

/// quick: about 10 s on 2 cores; does it run and point the right way. desk: about 2 minutes; is the
/// claim seen. full: the paper's own setting, on the user's data and machine.
enum class Scale { quick, desk, full };
std::string_view name_of(Scale scale);

struct StudyContext {
  Scale scale = Scale::quick;
  uint64_t seed = 0;
  std::string out = {};   // the study's own folder; it exists
  std::string data = {};  // --data, for the full scale; empty: what is there
  /// Tells how far a step is: `done` of `total`, in `what`. Draws the bar and throws Interrupted
  /// after Ctrl-C: call it in every loop that takes seconds.
  std::function<void(const std::string& what, int64_t done, int64_t total)> progress =
      [](const std::string&, int64_t, int64_t) {};
};

/// One published claim and what was measured. `scale` says where the specification states the
/// criterion: a claim stated for desk that fails at quick is shown as measured below its scale.
struct Claim {
  std::string id = {};         // begins with the sheet's label: "S1", "D2-error"; real data: "R1"
  std::string claim = {};      // the paper's, in words
  std::string baseline = {};   // what it is compared with
  std::string criterion = {};  // with its numbers, from the sheet
  std::vector<std::pair<std::string, double>> measured = {};  // every seed's spread with it;
                                                              // empty: not measured
  bool holds = false;
  Scale scale = Scale::desk;
  std::string note = {};  // why not, where it does not
};

/// Raw numbers, written to NAME.csv: columns of one length; NaN becomes an empty cell.
struct Series {
  std::string name = {};
  std::vector<std::pair<std::string, std::vector<double>>> columns = {};
};

/// A picture, written to NAME.svg.
struct Picture {
  std::string name = {};
  std::string caption = {};  // what to see in it
  io::Figure figure = {};
};

struct StudyResult {
  std::vector<Claim> claims = {};
  std::vector<Series> series = {};
  std::vector<Picture> figures = {};
};

/// One row of the table of studies.
struct Study {
  std::string slug = {};     // "batch-scaling"
  std::string title = {};    // "Learning rate as a function of batch size"
  std::string summary = {};  // two or three sentences: what the method claims and what is done here
  std::string source = {};   // authors, title, year
  StudyResult (*run)(const StudyContext&);
};

/// Every study, in the order of the report.
const std::vector<Study>& all_studies();

}  // namespace ritz::studies
