#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "ritz/base/error.h"
#include "studies/results.h"
#include "tests/io/temporary_folder.h"

namespace {

using namespace ritz::studies;

StudyResult measured(const StudyContext&) {
  StudyResult result;
  result.claims = {
      {.id = "S1",
       .claim = "it is <faster> & better",
       .baseline = "the other",
       .criterion = "ratio >= 2",
       .measured = {{"ratio", 2.5}, {"spread", std::numeric_limits<double>::quiet_NaN()}},
       .holds = true},
      {.id = "S2",
       .claim = "so is this",
       .criterion = "x < 1",
       .measured = {{"x", 3}},
       .note = "noise"}};
  result.series = {
      {.name = "raw",
       .columns = {{"b", {1, 2}}, {"y", {0.1, std::numeric_limits<double>::quiet_NaN()}}}}};
  result.figures = {
      {.name = "curve", .caption = "a curve", .figure = {.curves = {{.x = {1, 2}, .y = {3, 4}}}}}};
  return result;
}
StudyResult broken(const StudyContext&) {
  throw ritz::DataError("X", "a file", "none");
}

const Study kMeasured{
    .slug = "one", .title = "First", .summary = "s", .source = "o", .run = measured};
const Study kBroken{.slug = "two", .title = "Second", .summary = "s", .source = "o", .run = broken};

TEST(Verdict, ClaimWithoutNumbersIsNotRefuted) {
  EXPECT_EQ(verdict_text(Claim{.note = "no data"}, Scale::desk), "not measured");
}

TEST(Verdict, ClaimBelowItsScaleIsNotRefuted) {
  const Claim claim{.measured = {{"x", 3}}, .scale = Scale::desk};
  EXPECT_EQ(verdict_text(claim, Scale::quick), "not seen at quick scale");
  EXPECT_EQ(verdict_text(claim, Scale::desk), "does not hold");
  EXPECT_EQ(verdict_text({.holds = true}, Scale::quick), "holds");
}

TEST(Results, FolderHoldsWhatTheDesignSays) {
  const ritz::test::TemporaryFolder folder;
  auto record = run_study(kMeasured, {.seed = 5}, false);
  write_results(record, folder / "", false);
  std::ifstream file(folder / "results.json");
  const auto json = nlohmann::json::parse(file);
  EXPECT_EQ(json["slug"], "one");
  EXPECT_EQ(json["scale"], "quick");
  EXPECT_EQ(json["seed"], 5);
  EXPECT_EQ(json["claims"][0]["holds"], true);
  EXPECT_EQ(json["claims"][0]["measured"]["ratio"], 2.5);
  EXPECT_TRUE(json["claims"][0]["measured"]["spread"].is_null());
  EXPECT_EQ(json["claims"][1]["note"], "noise");
  EXPECT_EQ(json["series"][0], "raw.csv");
  EXPECT_EQ(json["figures"][0], "curve.svg");
  std::ifstream csv(folder / "raw.csv");
  const std::string text{std::istreambuf_iterator<char>(csv), {}};
  EXPECT_EQ(text, "b,y\n1,0.1\n2,\n");
  EXPECT_TRUE(std::filesystem::exists(folder / "curve.svg"));
}

TEST(Report, PageIsWholeEscapedAndFetchesNothing) {
  auto one = run_study(kMeasured, {}, false);
  one.svgs = {"<?xml version=\"1.0\"?>\n<svg id=\"here\"></svg>"};
  one.repeat = "ritz study one --scale quick";
  const auto two = run_study(kBroken, {}, true);
  const std::string page = report_page({one, two});
  EXPECT_NE(page.find("it is &lt;faster&gt; &amp; better"), std::string::npos);
  EXPECT_NE(page.find("1 of 2 claims hold in 2 studies"), std::string::npos);
  EXPECT_NE(page.find("<svg id=\"here\">"), std::string::npos);
  EXPECT_NE(page.find("X: expected a file, found none"), std::string::npos);
  EXPECT_NE(page.find("prefers-color-scheme:dark"), std::string::npos);
  for (const char* foreign : {"<script", "<link", "src=", "@import", "url("}) {
    EXPECT_EQ(page.find(foreign), std::string::npos) << foreign;
  }
}

TEST(Report, AStudyWithoutThatScaleHasNotFailed) {
  const Study elsewhere{
      .slug = "three", .title = "Three", .run = [](const StudyContext&) -> StudyResult {
        throw ritz::Unsupported("full scale: expected your data, found none");
      }};
  const auto record = run_study(elsewhere, {.scale = Scale::full}, true);
  EXPECT_TRUE(record.unsupported);
  const std::string page = report_page({record});
  EXPECT_NE(page.find("not at this scale"), std::string::npos);
  EXPECT_EQ(page.find("stopped"), std::string::npos);
  EXPECT_FALSE(run_study(kBroken, {}, true).unsupported);
}

TEST(Report, StudyAloneThrowsItsError) {
  EXPECT_THROW(run_study(kBroken, {}, false), ritz::DataError);
}

}  // namespace
