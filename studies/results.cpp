#include "studies/results.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "ritz/base/atomic_file.h"
#include "ritz/base/error.h"
#include "ritz/base/threads.h"
#include "ritz/base/timer.h"
#include "ritz/base/version.h"
#include "ritz/io/array_file.h"

namespace ritz::studies {
namespace {

using Json = nlohmann::ordered_json;

void write_text(const std::string& path, const std::string& text, bool force) {
  AtomicFile file(path, force);
  file.write(text);
  file.commit();
}

io::Array column(const std::string& name, const std::vector<double>& values) {
  auto array = io::make_array(name, {static_cast<int64_t>(values.size())}, io::DType::float64);
  std::copy(values.begin(), values.end(), reinterpret_cast<double*>(io::mutable_data(array)));
  return array;
}

Json claim_json(const Claim& claim) {
  Json measured = Json::object();
  for (const auto& [name, value] : claim.measured)
    measured[name] = value;  // NaN and Inf become null
  Json json;
  json["id"] = claim.id;
  json["claim"] = claim.claim;
  json["baseline"] = claim.baseline;
  json["criterion"] = claim.criterion;
  json["measured"] = measured;
  json["holds"] = claim.holds;
  json["scale"] = name_of(claim.scale);
  json["note"] = claim.note;
  return json;
}

}  // namespace

Verdict verdict_of(const Claim& claim, Scale scale) {
  if (claim.holds) return Verdict::holds;
  if (claim.measured.empty()) return Verdict::not_measured;
  return claim.scale > scale ? Verdict::below_scale : Verdict::fails;
}

std::string verdict_text(const Claim& claim, Scale scale) {
  switch (verdict_of(claim, scale)) {
    case Verdict::holds:
      return "holds";
    case Verdict::fails:
      return "does not hold";
    case Verdict::not_measured:
      return "not measured";
    case Verdict::below_scale:
      break;
  }
  return "not seen at " + std::string(name_of(scale)) + " scale";
}

std::string measured_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

StudyRecord run_study(const Study& study, const StudyContext& context, bool keep_going) {
  StudyRecord record{.study = &study, .result = {}, .scale = context.scale, .seed = context.seed};
  record.threads = threads();
  const Timer timer;
  try {
    record.result = study.run(context);
  } catch (const Interrupted&) {
    throw;
  } catch (const std::exception& error) {
    if (!keep_going) throw;
    record.failure = error.what();
    record.unsupported = dynamic_cast<const Unsupported*>(&error) != nullptr;
    record.failure = record.failure.substr(0, record.failure.find('\n'));
  }
  record.seconds = timer.seconds();
  return record;
}

void write_results(StudyRecord& record, const std::string& folder, bool force) {
  Json claims = Json::array(), series = Json::array(), figures = Json::array();
  for (const auto& claim : record.result.claims) claims.push_back(claim_json(claim));
  for (const auto& one : record.result.series) {
    std::vector<io::Array> columns;
    for (const auto& [name, values] : one.columns) columns.push_back(column(name, values));
    const std::string file = one.name + ".csv";
    io::write_arrays(folder + "/" + file, columns, {.force = force});
    series.push_back(file);
  }
  for (const auto& picture : record.result.figures) {
    const std::string file = picture.name + ".svg";
    record.svgs.push_back(io::svg_text(picture.figure));
    write_text(folder + "/" + file, record.svgs.back(), force);
    figures.push_back(file);
  }
  Json json;
  json["slug"] = record.study->slug;
  json["scale"] = name_of(record.scale);
  json["seed"] = record.seed;
  json["seconds"] = record.seconds;
  json["version"] = version();
  json["threads"] = record.threads;
  json["claims"] = claims;
  json["series"] = series;
  json["figures"] = figures;
  write_text(folder + "/results.json",
             json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n", force);
}

}  // namespace ritz::studies
