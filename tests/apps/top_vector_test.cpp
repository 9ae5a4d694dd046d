// `ritz top-vector` as a user calls it.
#include <torch/types.h>

#include "ritz/base/random.h"
#include "ritz/io/array_file.h"
#include "ritz/io/tensor.h"
#include "ritz/rows/top_vector.h"
#include "tests/apps/program.h"

namespace ritz::tests {
namespace {

using torch::kFloat32;
using torch::kFloat64;

class TopVectorCommand : public ProgramTest {
 protected:
  static Tensor spiked(int64_t n, int64_t d) {
    RandomStream random(2, stream_id("tests/top-vector-command"));
    const Tensor u = random.normal({d}, kFloat64), noise = random.normal({n, d}, kFloat64);
    return noise / std::sqrt(n) +
           random.rademacher({n, 1}, kFloat64) * (u / u.norm()) * std::sqrt(20. / n);
  }
  std::string path(const std::string& name) const { return (work() / name).string(); }
  void save(const std::string& name, const Tensor& values) const {
    io::write_arrays(path(name), {io::to_array("A", values)}, {.force = true});
  }
  void save_raw(const std::string& name, const Tensor& values) const {
    write(name, {static_cast<const char*>(values.const_data_ptr()),
                 static_cast<size_t>(values.numel() * values.element_size())});
  }
  Tensor load(const std::string& name) const { return io::to_tensor(io::read_array(path(name))); }
  static double loss(const Tensor& a, const Tensor& b) {
    const double c = a.to(kFloat64).dot(b.to(kFloat64)).item<double>();
    return 1 - c * c;
  }
  static Tensor exact(const Tensor& A) {
    const Tensor V = std::get<1>(torch::linalg_eigh(A.t().mm(A)));
    return V.select(1, V.size(1) - 1);
  }
};

TEST_F(TopVectorCommand, ExampleWorksAsPrintedAndTheTruthIsFound) {
  const auto outcome = shell(
      "$RITZ data make heavy-rows --out A.npy && $RITZ top-vector A.npy --out v.npy "
      "--json s.json");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto truth = json("A.truth.json"), found = json("s.json");
  const auto v = truth["vector"].get<std::vector<double>>();
  EXPECT_LT(loss(load("v.npy"), torch::tensor(v, kFloat64)), 0.05);
  EXPECT_NEAR(found["sigma1"].get<double>() / truth["sigma1"].get<double>(), 1, 0.1);
  EXPECT_EQ(found["n"], 12024);
  EXPECT_EQ(found["d"], 300);
  EXPECT_EQ(found["skipped"], 0);
  EXPECT_EQ(found["status"], nlohmann::json::array({"short_stream"}));
  for (const char* key : {"gap", "h_est", "state_bits", "workspace_bits", "lambda_by_piece",
                          "heavy_rows", "warnings", "inputs"})
    EXPECT_TRUE(found.contains(key)) << key;
  EXPECT_TRUE(found["warnings"].empty());
  EXPECT_EQ(found["heavy_rows"].size(), found["h_est"].get<size_t>());
  for (const auto& row : truth["heavy_rows"])
    EXPECT_NE(std::ranges::find(found["heavy_rows"], row), found["heavy_rows"].end());
}

TEST_F(TopVectorCommand, EveryInputGivesTheSameVector) {
  const Tensor A = spiked(5000, 30);
  save("A.npy", A);
  save("A.csv", A);
  save("A.h5", A);
  save("A.npz", A);
  save_raw("A.bin", A.contiguous());
  ASSERT_EQ(ritz("top-vector A.npy --out base.npy --quiet").code, 0);
  const Tensor base = load("base.npy");
  EXPECT_LT(loss(base, exact(A)), 0.02);
  const std::string lines[] = {"A.csv",     "A.h5",
                               "A.npz:A",   "A.bin --raw float64 --columns 30",
                               "- < A.csv", "- --raw float64 --columns 30 < A.bin"};
  for (const auto& line : lines) {
    const auto outcome = ritz("top-vector --out v.npy --force " + line);
    ASSERT_EQ(outcome.code, 0) << line << outcome.err;
    EXPECT_LT(loss(load("v.npy"), base), 1e-12) << line;
  }
  const auto piped =
      shell("cat A.bin | $RITZ top-vector - --raw float64 --columns 30 --json - --out p.npy");
  ASSERT_EQ(piped.code, 0) << piped.err;
  EXPECT_LT(loss(load("p.npy"), base), 1e-12);
  // Single precision, Fortran order, and by another name.
  save("F.npy", A.to(kFloat32));
  ASSERT_EQ(ritz("top-vector F.npy --out f.npy").code, 0);
  EXPECT_EQ(load("f.npy").scalar_type(), kFloat32);
  EXPECT_LT(loss(load("f.npy"), base), 1e-6);
}

TEST_F(TopVectorCommand, SparseRowsOfScipyAreTheirDenseOnes) {
  const Tensor A = spiked(700, 20) * RandomStream(3).uniform({700, 20}, kFloat64).gt(0.5);
  const char* python = std::getenv("RITZ_PYTHON");
  save("A.npy", A);
  const std::string script =
      "import numpy,scipy.sparse as s;A=numpy.load('A.npy');s.save_npz('A.npz',s.csr_matrix(A))";
  if (python == nullptr || shell(std::string(python) + " -c \"" + script + "\"").code != 0)
    GTEST_SKIP() << "RITZ_PYTHON has no scipy";
  ASSERT_EQ(ritz("top-vector A.npy --out a.npy").code, 0);
  const auto outcome = ritz("top-vector A.npz --out b.npy");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_LT(loss(load("a.npy"), load("b.npy")), 1e-12);
  for (const char* mode : {"oja-grid", "oja:0.5", "frequent-directions"})
    EXPECT_EQ(ritz(std::string("top-vector A.npz --mode ") + mode).code, 0) << mode;
}

TEST_F(TopVectorCommand, EveryModeRuns) {
  const Tensor A = spiked(4000, 25);
  save("A.npy", A);
  const Tensor truth = exact(A);
  const std::pair<std::string, double> modes[] = {
      {"heavy", 0.02},
      {"heavy --schedule equal --pieces 5 --merge rank1", 0.02},
      {"heavy --theta --heavy 8", 0.02},
      {"heavy --subsample 30", 0.1},
      {"oja-grid", 0.15},
      {"oja:0.3", 0.3},
      {"oja:c --rate 0.3", 0.3},
      {"oja:40/t", 0.6},
      {"oja:20/sqrt", 0.4},
      {"adaoja", 0.2},
      {"block-power", 0.05},
      {"history --batch 100 --block-width 2", 0.05},
      {"frequent-directions --sketch-rows 10", 0.2},
      {"reservoir --sketch-rows 300", 0.3}};
  for (const auto& [mode, most] : modes) {
    const auto outcome = ritz("top-vector A.npy --out v.npy --json s.json --force --mode " + mode);
    ASSERT_EQ(outcome.code, 0) << mode << outcome.err;
    EXPECT_LT(loss(load("v.npy"), truth), most) << mode;
    EXPECT_GT(json("s.json")["sigma1"].get<double>(), 3) << mode;
  }
  const auto repeated = ritz("top-vector A.npy --mode reservoir --seed 4 --json a.json");
  EXPECT_EQ(ritz("top-vector A.npy --mode reservoir --seed 4 --json b.json").code, 0);
  EXPECT_EQ(json("a.json")["sigma1"], json("b.json")["sigma1"]);
}

TEST_F(TopVectorCommand, SortedRowsAreWarnedOf) {
  ASSERT_EQ(ritz("data make spike-stream --cols 60 --order spikes-first --out A.npy").code, 0);
  const auto outcome = ritz("top-vector A.npy --json s.json");
  ASSERT_EQ(outcome.code, 0);
  EXPECT_NE(outcome.err.find("order_not_random"), std::string::npos);
  EXPECT_EQ(json("s.json")["warnings"][0]["code"], "order_not_random");
  ASSERT_EQ(ritz("top-vector A.npy --mode oja-grid --out v.npy").code, 0);
  const auto v = json("A.truth.json")["vector"].get<std::vector<double>>();
  EXPECT_LT(loss(load("v.npy"), torch::tensor(v, kFloat64)), 0.03);
}

TEST_F(TopVectorCommand, CentredRowsAndSkippedRows) {
  const Tensor A = spiked(3000, 12) + 3;
  Tensor B = A.clone();
  B[17][4] = std::nan("");
  save("A.npy", A);
  save("B.npy", B);
  ASSERT_EQ(ritz("top-vector A.npy --centre --out c.npy").code, 0);
  EXPECT_LT(loss(load("c.npy"), exact(A - A.mean(0))), 0.02);
  expect_error("top-vector B.npy", 3, "row 17");
  ASSERT_EQ(ritz("top-vector B.npy --skip-bad --json s.json").code, 0);
  EXPECT_EQ(json("s.json")["skipped"], 1);
  EXPECT_EQ(json("s.json")["n"], 2999);
}

TEST_F(TopVectorCommand, ErrorsAreOneLine) {
  save("A.npy", spiked(50, 4));
  save("zero.npy", torch::zeros({9, 4}, kFloat64));
  save("vector.npy", torch::ones({9}, kFloat64));
  write("A.bin", "0123456789");
  write("A.csv", "1,2\n3\n");
  expect_error("top-vector missing.npy", 3, "missing.npy");
  expect_error("top-vector zero.npy", 3, "zero_matrix");
  expect_error("top-vector vector.npy", 3, "a matrix");
  expect_error("top-vector A.csv", 3, "line 2");
  expect_error("top-vector A.bin --raw float64 --columns 2", 3, "whole rows");
  expect_error("top-vector - --raw float64 --columns 2 < A.bin", 3, "whole rows");
  expect_error("top-vector A.npy --block-width 5", 3, "block_width");
  expect_error("top-vector A.npy --mode oja:x", 2, "--mode");
  expect_error("top-vector A.npy --mode oja:-1", 2, "--mode");
  expect_error("top-vector A.npy --raw float64", 2, "--columns");
  expect_error("top-vector A.npy --columns 3", 2, "--raw");
  expect_error("top-vector - --mode block-power", 2, "--rows");
  expect_error("top-vector A.csv --schedule equal", 2, "--rows");
  expect_error("top-vector", 2, "ROWS");
}

}  // namespace
}  // namespace ritz::tests
