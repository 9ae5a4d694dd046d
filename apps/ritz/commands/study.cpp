#include "apps/ritz/commands/study.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>

#include "apps/ritz/frame/run.h"
#include "apps/ritz/frame/wrap.h"
#include "ritz/base/atomic_file.h"
#include "ritz/base/interrupt.h"
#include "ritz/base/progress.h"
#include "studies/results.h"

namespace ritz::app {
namespace {

using studies::StudyRecord;

std::vector<const studies::Study*> chosen(const std::string& slug) {
  std::vector<const studies::Study*> out;
  std::string slugs = "all|list";
  for (const auto& study : studies::all_studies()) {
    slugs += "|" + study.slug;
    if (slug == "all" || slug == study.slug) out.push_back(&study);
  }
  if (out.empty() && slug != "all") throw UsageError("SLUG", slugs, "'" + slug + "'");
  return out;
}

void make_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) throw DataError("--out", "a folder that can be made", error.message(), path);
}

void print_claims(Run& run, const StudyRecord& record) {
  constexpr size_t kIndent = 14;
  const auto print = [&run](const std::string& name, const std::string& text) {
    if (text.empty()) return;
    std::string head = "  " + name;
    head.resize(kIndent, ' ');
    run.text() << head << wrap(text, kIndent) << '\n';
  };
  run.text() << record.study->slug << ": " << record.study->title << '\n';
  std::vector<std::vector<std::string>> verdicts;
  for (const auto& claim : record.result.claims) {
    std::string measured;
    for (const auto& [name, value] : claim.measured) {
      measured += (measured.empty() ? "" : ", ") + name + ' ' + studies::measured_text(value);
    }
    run.text() << '\n' << claim.id << ": " << verdict_text(claim, record.scale) << '\n';
    print("claim", claim.claim);
    print("criterion", claim.criterion);
    print("baseline", claim.baseline);
    print("measured", measured);
    print("note", claim.note);
    verdicts.push_back({claim.id, verdict_text(claim, record.scale)});
  }
  run.text() << '\n';
  run.table({"claim", "holds"}, verdicts);
}

}  // namespace

void Study::run(Run& run) const {
  if (slug == "list") {
    std::vector<std::vector<std::string>> rows;
    for (const auto& study : studies::all_studies()) {
      rows.push_back({study.slug, study.title});
      run.json()["studies"].push_back(study.slug);
    }
    run.table({"study", "title"}, rows);
    return;
  }
  const auto list = chosen(slug);
  const std::string out = run.common.out.empty() ? "study-" + slug : run.common.out;
  const bool all = slug == "all";
  make_folder(out);
  run.check_target(out + "/report.html");
  for (const auto* study : list) {
    if (all) make_folder(out + "/" + study->slug);
    run.check_target((all ? out + "/" + study->slug : out) + "/results.json");
  }

  std::vector<StudyRecord> records;
  std::string failure;
  Json verdicts = Json::array();
  for (const auto* study : list) {
    const std::string folder = all ? out + "/" + study->slug : out;
    Progress bar(run.shows_progress());
    studies::StudyContext context{.seed = run.common.seed, .out = folder, .data = data};
    for (const auto one : {studies::Scale::quick, studies::Scale::desk, studies::Scale::full}) {
      if (name_of(one) == scale) context.scale = one;
    }
    context.progress = [&bar, study](const std::string& what, int64_t done, int64_t total) {
      check_interrupt(study->slug + " at '" + what + "'");
      bar.update(what, done, total);
    };
    try {
      records.push_back(run_study(*study, context, all));
    } catch (const Unsupported&) {
      std::error_code ignored;
      std::filesystem::remove(folder, ignored);  // which takes an empty one alone
      throw;
    }
    StudyRecord& record = records.back();
    bar.clear();
    if (!record.failure.empty()) {
      const std::string reason = study->slug + ": " + record.failure;
      run.warn(record.unsupported ? "no_such_scale" : "study_stopped", reason);
      if (!record.unsupported) failure = reason;
    }
    record.repeat = "ritz study " + study->slug + " --scale " + scale + " --seed " +
                    std::to_string(record.seed) + " --threads " + std::to_string(record.threads);
    write_results(record, folder, run.common.force);
    print_claims(run, record);
    for (const auto& claim : record.result.claims) {
      verdicts.push_back({{"study", study->slug},
                          {"id", claim.id},
                          {"claim", claim.claim},
                          {"holds", claim.holds}});
    }
  }
  run.json()["scale"] = scale;
  run.json()["claims"] = verdicts;
  AtomicFile page(out + "/report.html", run.common.force);
  page.write(report_page(records));
  page.commit();
  run.text() << "written: " << out << "/report.html\n";
  if (!failure.empty()) throw SystemFailure(failure);
}

}  // namespace ritz::app
