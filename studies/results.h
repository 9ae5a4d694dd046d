#pragma once
// What a study leaves in its folder, and the page made of all of them.
#include <cstdint>
#include <string>
#include <vector>

#include "studies/study.h"

namespace ritz::studies {

/// A study that was run.
struct StudyRecord {
  const Study* study = nullptr;
  StudyResult result = {};
  Scale scale = Scale::quick;
  uint64_t seed = 0;
  double seconds = 0;
  int64_t threads = 1;
  std::string repeat = {};             // the command line that does it again
  std::vector<std::string> svgs = {};  // the pictures' text, in the order of result.figures
  std::string failure = {};            // why it stopped; empty: it did not
  bool unsupported = false;            // it stopped because it has no such scale
};

enum class Verdict { holds, fails, below_scale, not_measured };
/// A claim without numbers was not measured (its data were not there). A claim that fails at a
/// smaller scale than the specification states its criterion for is not refuted.
Verdict verdict_of(const Claim& claim, Scale scale);
/// "holds", "does not hold", "not seen at quick scale", "not measured"
std::string verdict_text(const Claim& claim, Scale scale);

/// Runs it. Where `keep_going`, an error other than Interrupted is put into the record instead of
/// thrown.
StudyRecord run_study(const Study& study, const StudyContext& context, bool keep_going);

/// Writes results.json, every series as NAME.csv and every picture as NAME.svg into `folder`, and
/// keeps the pictures' text in the record.
void write_results(StudyRecord& record, const std::string& folder, bool force);

/// One HTML page that fetches nothing: a table of verdicts, then a section for each study.
std::string report_page(const std::vector<StudyRecord>& records);

/// "0.0312", "1.2e+06": four significant digits.
std::string measured_text(double value);

}  // namespace ritz::studies
