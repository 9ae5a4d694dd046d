// without libtorch
// `ritz design` as a user meets it: plan, points, values of one's own, fit.
#include <cmath>
#include <sstream>

#include "ritz/io/array_file.h"
#include "tests/apps/program.h"

namespace ritz::tests {
namespace {

class Design : public ProgramTest {
 protected:
  // The design's rows as numbers, without its two head lines.
  std::vector<std::vector<double>> rows(const std::string& name) const {
    std::istringstream in(read_file(work() / name));
    std::vector<std::vector<double>> all;
    std::string line;
    for (int i = 0; std::getline(in, line); ++i) {
      if (i < 2) continue;
      all.emplace_back();
      std::istringstream cells(line);
      for (std::string cell; std::getline(cells, cell, ',');) all.back().push_back(std::stod(cell));
    }
    return all;
  }
  static double f(double x, double y) { return std::exp(x * y) + y; }
  static constexpr auto kSpace = "--space legendre --dim 2 --degree 4 ";
};

TEST_F(Design, GoesOutAsPointsAndComesBackAsAFit) {
  ASSERT_EQ(ritz(std::string("design points ") + kSpace +
                 "--points 45 --event two-sided --seed 3 --out d.csv --json d.json --plot p.svg")
                .code,
            0);
  const auto made = json("d.json");
  EXPECT_EQ(made["m"], 15);
  EXPECT_EQ(made["n"], 45);
  EXPECT_GT(made["gram_min"].get<double>(), 0.1);
  EXPECT_LT(made["gram_max"].get<double>(), 1.9);
  EXPECT_NEAR(made["bound"].get<double>(),
              1 + 15 / 45. / 0.01 * (1 + made["redraws"].get<double>()), 1e-9);
  EXPECT_NE(read_file(work() / "p.svg").find("<svg"), std::string::npos);
  EXPECT_EQ(read_file(work() / "d.csv").find("# ritz design space=legendre dim=2 degree=4"), 0u);

  const auto points = rows("d.csv");
  ASSERT_EQ(points.size(), 45u);
  std::string column, table = "points_0,points_1,weights,value\n";
  for (const auto& row : points) {
    std::ostringstream line, number;
    number.precision(17);
    number << f(row[0], row[1]);
    line.precision(9);  // as other programs print
    line << row[0] << ',' << row[1] << ',' << row[2] << ',';
    column += number.str() + "\n";
    table += line.str() + number.str() + "\n";
  }
  write("v.csv", column);
  write("t.csv", table);
  ASSERT_EQ(ritz("design fit d.csv v.csv --json f.json --out f.npz").code, 0);
  ASSERT_EQ(ritz("design fit d.csv t.csv --json g.json").code, 0);
  const auto fit = json("f.json"), same = json("g.json");
  EXPECT_EQ(fit["coefficients"], same["coefficients"]);
  EXPECT_EQ(fit["coefficients"].size(), 15u);
  EXPECT_EQ(fit["index"][2], (std::vector<int64_t>{1, 0}));
  EXPECT_EQ(fit["index"][1], (std::vector<int64_t>{0, 1}));
  // int f = 1.0574 (the series sum 1 / ((2k+1)^2 (2k)!)); the coefficient of y is near 1 / sqrt 3.
  EXPECT_NEAR(fit["coefficients"][0].get<double>(), 1.0573, 5e-3);
  EXPECT_NEAR(fit["coefficients"][1].get<double>(), 1 / std::sqrt(3), 5e-3);
  EXPECT_GT(fit["loo_error"].get<double>(), 1e-4);
  EXPECT_LT(fit["loo_error"].get<double>(), 0.1);
  EXPECT_GE(fit["condition"].get<double>(), 1);

  // The fit is evaluated where asked.
  auto at = io::make_array("x", {2, 2}, io::DType::float64);
  auto* x = reinterpret_cast<double*>(io::mutable_data(at));
  x[0] = 0.5, x[1] = -0.25, x[2] = -0.75, x[3] = 0.5;
  io::write_arrays((work() / "x.npy").string(), {at});
  ASSERT_EQ(ritz("design fit d.csv v.csv --at x.npy --predictions y.npy").code, 0);
  const auto y = io::read_array((work() / "y.npy").string());
  const auto* value = reinterpret_cast<const double*>(y.data);
  EXPECT_NEAR(value[0], f(0.5, -0.25), 0.02);
  EXPECT_NEAR(value[1], f(-0.75, 0.5), 0.02);
}

TEST_F(Design, ValuesThatDoNotFitTheirDesignAreRefused) {
  ASSERT_EQ(ritz("design points --space hermite --degree 2 --points 6 --out d.csv").code, 0);
  write("short.csv", "1\n2\n3\n4\n5\n");
  write("two.csv", "1,2\n1,2\n1,2\n1,2\n1,2\n1,2\n");
  write("nan.csv", "value\n1\n2\n\"\"\n4\n5\n6\n");
  std::string swapped = "points_0,weights,value\n";
  auto points = rows("d.csv");
  std::swap(points[1], points[4]);
  for (const auto& row : points)
    swapped += std::to_string(row[0]) + ',' + std::to_string(row[1]) + ",1\n";
  write("swapped.csv", swapped);
  expect_error("design fit d.csv short.csv", 3, "found 5");
  expect_error("design fit d.csv two.csv", 3, "2 columns");
  expect_error("design fit d.csv nan.csv", 3, "points 2");
  expect_error("design fit d.csv swapped.csv", 3, "row 1");
  write("bare.csv", "points_0,weights\n0.5,1\n0.25,1\n");
  expect_error("design fit bare.csv short.csv", 3, "--space");
  expect_error("design fit d.csv short.csv --at x.npy", 2, "--predictions");
}

TEST_F(Design, ExactAtAsManyPointsAsFunctions) {
  ASSERT_EQ(ritz("design points --space legendre --degree 2 --method dpp --out d.npz").code, 0);
  write("v.csv", "1\n1\n1\n");
  ASSERT_EQ(ritz("design fit d.npz v.csv --json f.json").code, 0);
  const auto fit = json("f.json");
  EXPECT_TRUE(fit["loo_error"].is_null());
  EXPECT_NEAR(fit["coefficients"][0].get<double>(), 1, 1e-12);
  EXPECT_NEAR(fit["coefficients"][2].get<double>(), 0, 1e-12);
}

TEST_F(Design, PlanSaysHowMany) {
  ASSERT_EQ(
      ritz("design plan --space legendre --degree 9 --delta 0.9 --eta 0.1 --json p.json").code, 0);
  const auto plan = json("p.json");
  EXPECT_EQ(plan["m"], 10);
  EXPECT_EQ(plan["n_iid"], 166);  // 10 / 0.31952 ln 200
  EXPECT_GE(plan["n_recommended"].get<int>(), 20);
  EXPECT_LE(plan["n_recommended"].get<int>(), 40);
  EXPECT_GE(plan["probability"].get<double>(), 0.9);
}

TEST_F(Design, MethodsAndWeightings) {
  for (const std::string more : {"--method boosted --boost 5 --dtype float32",
                                 "--weights linf --event one-sided", "--weights rkhs:brownian",
                                 "--method iid --points 60 --event two-sided --greedy --keep 20"}) {
    const auto run =
        ritz("design points --space legendre,jacobi:0.5,0 --dim 2 --degree 2 --json - " + more);
    ASSERT_EQ(run.code, 0) << more << "\n" << run.err;
    const auto r = nlohmann::json::parse(run.out);
    EXPECT_EQ(r["m"], 6) << more;
    EXPECT_GE(r["n"].get<int>(), 6) << more;
    EXPECT_EQ(r["bound"].is_number(), more.find("--event") != std::string::npos) << more;
  }
}

TEST_F(Design, PilotHasQuantilesAndStackedDesigns) {
  ASSERT_EQ(ritz("design points --space trigonometric --degree 2 --points 10 --draws 20 "
                 "--json p.json --out p.npz --dtype float32")
                .code,
            0);
  const auto r = json("p.json");
  EXPECT_GE(r["probability"].get<double>(), 0);
  for (const char* key : {"gram_min", "gram_max", "deviation"})
    EXPECT_LE(r["quantiles"][key]["p10"].get<double>(), r["quantiles"][key]["p90"].get<double>());
  const auto points = io::read_array((work() / "p.npz:points").string());
  EXPECT_EQ(points.shape, (std::vector<int64_t>{20, 10, 1}));
  EXPECT_EQ(points.dtype, io::DType::float32);
}

TEST_F(Design, CandidatesComeAsTheirRowNumbers) {
  auto phi = io::make_array("phi", {60, 3}, io::DType::float64);
  auto* v = reinterpret_cast<double*>(io::mutable_data(phi));
  for (int i = 0; i < 60; ++i)
    for (int j = 0; j < 3; ++j) v[3 * i + j] = std::pow((i - 30) / 30.0, j);
  io::write_arrays((work() / "a phi.npy").string(), {phi});
  expect_error("design points --candidates 'a phi.npy' --out d.csv", 3, "orthonormal");
  expect_error("design points --candidates 'a phi.npy' --orthonormalise --points 2", 3, "--points");
  ASSERT_EQ(
      ritz("design points --candidates 'a phi.npy' --orthonormalise --points 9 --out d.csv").code,
      0);
  EXPECT_NE(read_file(work() / "d.csv")
                .find("candidates=a%20phi.npy orthonormalise=yes\nindices,weights"),
            std::string::npos);
  write("v.csv", "value\n1\n1\n1\n1\n1\n1\n1\n1\n1\n");
  const auto fit = ritz("design fit d.csv v.csv --json -");
  ASSERT_EQ(fit.code, 0) << fit.err;
  EXPECT_LT(nlohmann::json::parse(fit.out)["residual"].get<double>(), 1e-10);
}

TEST_F(Design, RefusesWhatCannotBe) {
  expect_error(std::string("design points ") + kSpace + "--points 14", 2, "at least m = 15");
  expect_error("design points --space legendr", 2, "legendre");
  expect_error("design points --space legendre --delta 1.5", 2, "--delta");
  expect_error("design points", 2, "--candidates");
  expect_error("design points --space legendre --keep 5", 2, "--greedy");
  expect_error("design points --space legendre --weights uniform", 2, "linf");
  expect_error("design plan --space legendre --eta 0", 2, "--eta");
  const auto failed = ritz(
      "design points --space legendre --degree 9 --points 10 --method iid "
      "--event two-sided --delta 0.05 --max-redraws 5");
  EXPECT_EQ(failed.code, 4) << failed.err;
}

}  // namespace
}  // namespace ritz::tests
