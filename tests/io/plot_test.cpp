// without libtorch
#include "ritz/io/plot.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>

#include "ritz/base/error.h"
#include "tests/io/temporary_folder.h"

namespace {

using ritz::io::Curve;
using ritz::io::Figure;
using ritz::io::Style;

Figure figure() {
  return {.title = "extremes",
          .x = {.label = "batch size", .log = true},
          .y = {.label = "eigenvalue"},
          .curves = {{.label = "measured", .x = {1, 2, 4}, .y = {3, 2, 1}}}};
}

class PlotFiles : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_ / name; }

  const ritz::test::TemporaryFolder folder_;
};

TEST(Plot, SvgHasAxesLabelsAndColoursForDarkPages) {
  const std::string svg = ritz::io::svg_text(figure());
  EXPECT_NE(svg.find("batch size"), std::string::npos);
  EXPECT_NE(svg.find("prefers-color-scheme:dark"), std::string::npos);
  EXPECT_NE(svg.find("stroke='#2f6db3'"), std::string::npos)
      << "the first curve's colour, as the style sheet names it";
  EXPECT_EQ(svg.find("rgb("), std::string::npos) << "a colour that the dark page does not know";
  EXPECT_EQ(svg.find("http://", svg.find("xlink") + 40), std::string::npos) << "fetches nothing";
}

TEST(Plot, EveryStyleDraws) {
  Figure all = figure();
  all.curves.clear();
  for (const Style style : {Style::line, Style::points, Style::line_points, Style::error_bars,
                            Style::stems, Style::steps, Style::band, Style::guide}) {
    all.curves.push_back(
        {.label = "c", .x = {1, 2}, .y = {1, 2}, .error = {0.1, 0.2}, .style = style});
  }
  all.marks = {{.at = 1.5, .label = "b crit"}, {.at = 1, .vertical = false}};
  EXPECT_NE(ritz::io::svg_text(all).find("</svg>"), std::string::npos);
}

TEST(Plot, WordsRunNothingAndAreShownAsTheyAre) {
  Figure hostile = figure();
  const ritz::test::TemporaryFolder folder;
  const std::string victim = folder / "victim";
  hostile.title =
      "it's `touch " + victim + "` $(touch " + victim + ")\n' ; system('touch " + victim + "') #";
  hostile.curves[0].label = "a_b^c {/Symbol x} @macro %d \\n";
  const std::string svg = ritz::io::svg_text(hostile);
  EXPECT_FALSE(std::filesystem::exists(victim));
  EXPECT_NE(svg.find("a_b^c {/Symbol x} @macro %d \\n"), std::string::npos);
}

TEST(Plot, NanAndInfLeaveGaps) {
  Figure gaps = figure();
  gaps.curves[0].y = {3, std::numeric_limits<double>::quiet_NaN(), 1};
  EXPECT_NO_THROW(ritz::io::svg_text(gaps));
  gaps.curves[0].y = {3, std::numeric_limits<double>::infinity(), 1};
  EXPECT_NO_THROW(ritz::io::svg_text(gaps));
}

TEST(Plot, RejectsCurvesThatDoNotFit) {
  Figure wrong = figure();
  wrong.curves[0].y = {1};
  EXPECT_THROW(ritz::io::svg_text(wrong), ritz::InvalidArgument);
  wrong.curves.clear();
  EXPECT_THROW(ritz::io::svg_text(wrong), ritz::InvalidArgument);
}

TEST_F(PlotFiles, WritesSvgAndPngAndRefusesToOverwrite) {
  ritz::io::write_figure(path("a.svg"), figure());
  ritz::io::write_figure(path("a.png"), figure());
  std::ifstream png(path("a.png"), std::ios::binary);
  std::string head(4, ' ');
  png.read(head.data(), 4);
  EXPECT_EQ(head, "\x89PNG");
  EXPECT_THROW(ritz::io::write_figure(path("a.svg"), figure()), ritz::UsageError);
  EXPECT_NO_THROW(ritz::io::write_figure(path("a.svg"), figure(), true));
  EXPECT_THROW(ritz::io::write_figure(path("a.pdf"), figure()), ritz::InvalidArgument);
}

TEST_F(PlotFiles, WithoutGnuplotSaysSoAndLeavesNothing) {
  const std::string saved = std::getenv("PATH");
  setenv("PATH", "/nonexistent", 1);
  EXPECT_THROW(ritz::io::write_figure(path("b.svg"), figure()), ritz::SystemFailure);
  setenv("PATH", saved.c_str(), 1);
  EXPECT_TRUE(std::filesystem::is_empty(path("")));
}

TEST_F(PlotFiles, DataThatGnuplotCannotDrawIsAnErrorWithItsReason) {
  Figure negative = figure();
  negative.curves[0].x = {-1, -2, -4};  // on a logarithmic axis nothing is left
  EXPECT_THROW(ritz::io::write_figure(path("c.svg"), negative), ritz::SystemFailure);
  EXPECT_TRUE(std::filesystem::is_empty(path("")));
}

}  // namespace
