// without libtorch
// `ritz coreset` as a user meets it.
#include <cmath>

#include "ritz/io/array_file.h"
#include "tests/apps/program.h"

namespace ritz::tests {
namespace {

class CoresetCommand : public ProgramTest {
 protected:
  static constexpr int kRows = 900, kColumns = 4;

  void SetUp() override {
    ProgramTest::SetUp();
    auto a = io::make_array("A", {kRows, kColumns}, io::DType::float64);
    auto b = io::make_array("b", {kRows}, io::DType::float64);
    auto* rows = reinterpret_cast<double*>(io::mutable_data(a));
    auto* targets = reinterpret_cast<double*>(io::mutable_data(b));
    for (int i = 0; i < kRows; ++i) {
      targets[i] = i % 7 == 0 ? 50 : 0;  // outliers
      for (int j = 0; j < kColumns; ++j) {
        rows[i * kColumns + j] = std::sin(0.7 * i * (j + 1) + j) * (1 + (i % 50 == 0 ? 30 : 0));
        targets[i] += (j + 1) * rows[i * kColumns + j];
      }
    }
    io::write_arrays((work() / "A.npy").string(), {a}, {});
    io::write_arrays((work() / "b.npy").string(), {b}, {});
    for (int i = 0; i < kRows * kColumns; ++i) values_.push_back(rows[i]);
    for (int i = 0; i < kRows; ++i) targets_.push_back(targets[i]);
  }
  double norm_p(const std::vector<double>& x, double p) const {
    double sum = 0;
    for (int i = 0; i < kRows; ++i) sum += std::pow(std::abs(row_times(i, x)), p);
    return sum;
  }
  double row_times(int64_t i, const std::vector<double>& x) const {
    double sum = 0;
    for (int j = 0; j < kColumns; ++j)
      sum += values_[static_cast<size_t>(i * kColumns + j)] * x[static_cast<size_t>(j)];
    return sum;
  }
  io::Array array(const std::string& path) const {
    return io::read_array((work() / path).string());
  }
  template <class T>
  static std::vector<T> numbers(const io::Array& array) {
    const auto* data = reinterpret_cast<const T*>(array.data);
    return {data, data + array.count()};
  }

  std::vector<double> values_, targets_;
};

TEST_F(CoresetCommand, KeepsRowsWithWeightsAndSaysHowWrongTheyAre) {
  for (const std::string p : {"1", "1.5", "4"}) {
    const auto run =
        ritz("coreset A.npy --p " + p +
             " --rows 300 --verify --out k.npz --scores-out s.npy --json r.json --force");
    ASSERT_EQ(run.code, 0) << run.err;
    const auto r = json("r.json");
    for (const char* key : {"rows", "rank", "total_sensitivity", "total_sensitivity_se",
                            "max_sensitivity", "effective_rows", "certificate", "distortion_lower"})
      EXPECT_TRUE(r[key].is_number()) << key;
    const auto indices = numbers<int64_t>(array("k.npz:indices"));
    const auto weights = numbers<double>(array("k.npz:weights"));
    EXPECT_EQ(r["rows"], indices.size());
    EXPECT_NEAR(static_cast<double>(indices.size()), 300, 60);
    EXPECT_EQ(array("s.npy").count(), kRows);
    EXPECT_EQ(r["rank"], 4);
    // The witness attains the distortion, and has unit norm.
    const auto witness = r["witness"].get<std::vector<double>>();
    const double exponent = std::stod(p);
    double sample = 0;
    for (size_t i = 0; i < indices.size(); ++i)
      sample += weights[i] * std::pow(std::abs(row_times(indices[i], witness)), exponent);
    EXPECT_NEAR(norm_p(witness, exponent), 1, 1e-9);
    EXPECT_NEAR(std::abs(sample - 1), r["distortion_lower"].get<double>(), 1e-8);
    EXPECT_LT(r["certificate"].get<double>(), 1e-8);
  }
}

TEST_F(CoresetCommand, EveryScoreAndSamplerWorks) {
  for (const std::string more :
       {"--scores root-leverage --recursive", "--scores sensitivity --exact",
        "--scores sensitivity --approx --sample-rows 200", "--scores lewis --sampler multinomial",
        "--scores leverage --sampler systematic", "--scores augmented", "--scores row-norm",
        "--scores uniform --no-totals", "--p 4 --scores leverage-sensitivity --recursive"}) {
    const auto run = ritz("coreset A.npy --rows 200 --out k.csv --force " + more);
    ASSERT_EQ(run.code, 0) << more << "\n" << run.err;
    EXPECT_EQ(ritz::tests::read_text(work() / "k.csv").substr(0, 16), "indices,weights\n") << more;
  }
}

TEST_F(CoresetCommand, ExactSensitivitiesHaveATotalWithoutError) {
  const auto run = ritz("coreset A.npy --scores sensitivity --scores-out s.csv --json -");
  ASSERT_EQ(run.code, 0) << run.err;
  const auto r = nlohmann::json::parse(run.out);
  EXPECT_EQ(r["total_sensitivity_se"], 0);
  EXPECT_EQ(r["rows"], kRows);
  const auto scores = numbers<double>(array("s.csv:scores"));
  double total = 0;
  for (const double score : scores) total += score;
  EXPECT_NEAR(total, r["total_sensitivity"].get<double>(), 1e-9);
  EXPECT_GE(total, 2 - 1e-9);  // sqrt(d) <= S <= d
  EXPECT_LE(total, 4 + 1e-9);
}

TEST_F(CoresetCommand, RegressionOnTheSampleIsNearThatOnAllRows) {
  const auto all = ritz("coreset A.npy --rows 900 --regress b.npy --json all.json --out all.npz");
  ASSERT_EQ(all.code, 0) << all.err;
  const auto few = ritz("coreset A.npy --rows 300 --regress b.npy --json few.json");
  ASSERT_EQ(few.code, 0) << few.err;
  const auto whole = json("all.json"), part = json("few.json");
  EXPECT_LE(whole["duality_gap"].get<double>(), 1e-9);
  const auto x = whole["solution"].get<std::vector<double>>();
  for (size_t j = 0; j < 4; ++j) EXPECT_NEAR(x[j], static_cast<double>(j + 1), 1e-6);
  double objective = 0;
  for (int i = 0; i < kRows; ++i)
    objective += std::abs(row_times(i, x) - targets_[static_cast<size_t>(i)]);
  EXPECT_NEAR(whole["objective"].get<double>(), objective, 1e-8 * objective);
  EXPECT_GE(part["objective"].get<double>(), objective * (1 - 1e-9));
  EXPECT_LE(part["objective"].get<double>(), objective * 1.2);
  for (const double weight : numbers<double>(array("all.npz:weights"))) EXPECT_EQ(weight, 1);
  EXPECT_EQ(array("all.npz:indices").count(), kRows);
}

TEST_F(CoresetCommand, PartsAreJoinedAndSampledAgain) {
  ASSERT_EQ(ritz("coreset A.npy --rows 300 --seed 1 --out one.npz --no-totals").code, 0);
  ASSERT_EQ(ritz("coreset A.npy --rows 300 --seed 2 --out two.h5 --no-totals").code, 0);
  const auto run = ritz("coreset merge one.npz two.h5 --rows 250 --out both.npz --json m.json");
  ASSERT_EQ(run.code, 0) << run.err;
  const auto indices = numbers<int64_t>(array("both.npz:indices"));
  const auto weights = numbers<double>(array("both.npz:weights"));
  const auto rows = numbers<double>(array("both.npz:rows"));
  double total = 0;
  for (const double weight : weights) total += weight;
  EXPECT_NEAR(total / (2 * kRows), 1, 0.5);
  EXPECT_EQ(numbers<int64_t>(array("both.npz:n"))[0], 2 * kRows);
  for (size_t i = 0; i < indices.size(); ++i)
    for (size_t j = 0; j < 4; ++j)
      EXPECT_EQ(rows[4 * i + j], values_[static_cast<size_t>(indices[i] % kRows) * 4 + j]);
  ASSERT_EQ(ritz("coreset A.npy --p 3 --rows 300 --out three.npz --no-totals").code, 0);
  expect_error("coreset merge one.npz three.npz --rows 250 --out x.npz", 3, "p: ");
  expect_error("coreset merge A.npy --rows 250 --out x.npz", 3, "weights");
  expect_error("coreset merge one.npz two.h5 --rows 250 --out x.csv", 2, "--out");
}

TEST_F(CoresetCommand, RefusesWhatCannotBe) {
  expect_error("coreset A.npy --rows 10 --p 0.5", 2, "--p");
  expect_error("coreset A.npy --rows 10 --p inf", 2, "--p");
  expect_error("coreset A.npy", 2, "--rows or --eps");
  expect_error("coreset A.npy --rows 10 --eps 0.1", 2, "both");
  expect_error("coreset A.npy --rows 0", 2, "--rows");
  expect_error("coreset A.npy --eps 1", 2, "--eps");
  expect_error("coreset A.npy --rows 10 --scores best", 2, "--scores");
  expect_error("coreset A.npy --rows 10 --exact --approx", 2, "--exact");
  expect_error("coreset A.npy --rows 3", 3, "the rank, 4");
  expect_error("coreset missing.npy --rows 10", 3, "missing.npy");
  expect_error("coreset b.npy --rows 10", 3, "matrix");
  write("short.csv", "1\n2\n");
  expect_error("coreset A.npy --rows 10 --regress short.csv", 3, "900");
  write("nan.csv", "1,2\n3,\n4,5\n");
  expect_error("coreset nan.csv --rows 2", 3, "row 1, column 1");
  write("zero.csv", "0,0\n0,0\n");
  expect_error("coreset zero.csv --rows 2", 3, "zeros");
}

TEST_F(CoresetCommand, WarnsOfRankAndZeroRows) {
  write("w.csv", "1,2\n2,4\n0,0\n-3,-6\n");
  const auto run = ritz("coreset w.csv --rows 2 --json -");
  ASSERT_EQ(run.code, 0) << run.err;
  const auto r = nlohmann::json::parse(run.out);
  EXPECT_EQ(r["rank"], 1);
  std::vector<std::string> codes;
  for (const auto& warning : r["warnings"]) codes.push_back(warning["code"]);
  EXPECT_NE(std::find(codes.begin(), codes.end(), "rank_deficient"), codes.end());
  EXPECT_NE(std::find(codes.begin(), codes.end(), "zero_rows"), codes.end());
}

TEST_F(CoresetCommand, GeneratorsWriteTheirTruth) {
  for (const std::string line :
       {"block-leverage --dim 3 --heavy 5 --light 20", "moment-blocks --coordinates 4",
        "pareto-rows --rows 50", "gaussian-rows --rows 50 --p 4", "legendre-rows --rows 50"}) {
    const auto run = ritz("data make " + line + " --out g.npy --force");
    ASSERT_EQ(run.code, 0) << line << "\n" << run.err;
    EXPECT_TRUE(json("g.truth.json")["generator"].is_string());
  }
  ASSERT_EQ(ritz("data make block-leverage --dim 3 --heavy 5 --light 20 --out b.npz").code, 0);
  const auto run = ritz("coreset b.npz --scores sensitivity --scores-out s.npy --json -");
  ASSERT_EQ(run.code, 0) << run.err;
  const auto scores = numbers<double>(array("s.npy"));
  EXPECT_NEAR(scores[0], 0.1, 1e-7);
  EXPECT_NEAR(scores[74], 0.025, 1e-7);
  EXPECT_NEAR(nlohmann::json::parse(run.out)["total_sensitivity"].get<double>(), 3, 1e-6);
}

}  // namespace
}  // namespace ritz::tests
