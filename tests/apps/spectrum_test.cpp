// `ritz spectrum` as a user calls it.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <torch/types.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "ritz/base/random.h"
#include "ritz/io/array_file.h"
#include "ritz/io/tensor.h"
#include "ritz/krylov/quadrature.h"
#include "tests/io/temporary_folder.h"

namespace {

using Json = nlohmann::json;
using ritz::Tensor;

struct Outcome {
  int code = -1;
  std::string output;  // both streams
};

class SpectrumCommand : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_ / name; }

  static Outcome run(const std::string& arguments) {
    const char* program = std::getenv("RITZ_PROGRAM");
    if (program == nullptr) throw std::runtime_error("RITZ_PROGRAM is not set");
    FILE* pipe = popen((std::string(program) + " spectrum " + arguments + " 2>&1").c_str(), "r");
    Outcome out;
    char buffer[4096];
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) out.output.append(buffer, n);
    out.code = WEXITSTATUS(pclose(pipe));
    return out;
  }

  void write(const std::string& name, const Tensor& values) const {
    ritz::io::write_arrays(path(name), {ritz::io::to_array("A", values)}, {.force = true});
  }

  static Tensor symmetric(int64_t n) {
    ritz::RandomStream random(2, ritz::stream_id("tests/spectrum"));
    const auto A = random.normal({n, n}, torch::kFloat64);
    return (A + A.t()) / std::sqrt(2.0 * static_cast<double>(n));
  }

 private:
  const ritz::test::TemporaryFolder folder_;
};

TEST_F(SpectrumCommand, ReportsWhatTheDenseSolverFinds) {
  const auto A = symmetric(70);
  write("A.npy", A);
  const auto exact = at::linalg_eigvalsh(A);
  const auto out =
      run("--matrix " + path("A.npy") + " --steps 70 --probes 3 --top 4 --json - --vectors " +
          path("V.npy") + " --density " + path("d.csv") + " --out " + path("s.npz"));
  ASSERT_EQ(out.code, 0) << out.output;
  const auto json = Json::parse(out.output);
  EXPECT_EQ(json["command"], "spectrum");
  EXPECT_EQ(json["parameters"], 70);
  EXPECT_NEAR(json["lambda_max"], exact[69].item<double>(), 1e-10);
  EXPECT_NEAR(json["lambda_min"], exact[0].item<double>(), 1e-10);
  EXPECT_NEAR(json["trace"], A.trace().item<double>(), 5 * json["trace_se"].get<double>());
  EXPECT_NEAR(json["frobenius"], A.norm().item<double>(), 5 * json["frobenius_se"].get<double>());
  EXPECT_TRUE(json["log_det"].is_null());  // half of the eigenvalues are negative
  ASSERT_EQ(json["nodes"].size(), 3u);
  for (const auto& weights : json["weights"]) {
    double sum = 0;
    for (const double w : weights) sum += w;
    EXPECT_NEAR(sum, 1, 1e-12);
  }
  ASSERT_EQ(json["eigenvalues"].size(), 4u);
  for (int64_t k = 0; k < 4; ++k) {
    EXPECT_NEAR(json["eigenvalues"][static_cast<size_t>(k)], exact[69 - k].item<double>(), 1e-10);
    EXPECT_LE(json["residuals"][static_cast<size_t>(k)].get<double>(), 1e-7);
  }
  const auto V = ritz::io::to_tensor(ritz::io::read_array(path("V.npy")));
  ASSERT_EQ(V.sizes(), (std::vector<int64_t>{4, 70}));
  const auto gap = V.mm(A) - exact.flip(0).slice(0, 0, 4).unsqueeze(1) * V;
  EXPECT_LE(gap.abs().max().item<double>(), 1e-7);
  const auto t = ritz::io::to_tensor(ritz::io::read_array(path("d.csv:t")));
  const auto density = ritz::io::to_tensor(ritz::io::read_array(path("d.csv:density")));
  ASSERT_EQ(density.size(0), 1024);
  EXPECT_NEAR(at::trapezoid(density.flatten(), t.flatten()).item<double>(), 1, 1e-9);
  EXPECT_EQ(ritz::read_curvature_suite(path("s.npz")).probes.size(), 3u);
}

TEST_F(SpectrumCommand, DiagonalComesWithItsErrors) {
  const auto A = symmetric(60);
  write("A.npy", A);
  const auto out = run("--matrix " + path("A.npy") +
                       " --steps 5 --diagonal --samples 200 --json - --out " + path("d.npz"));
  ASSERT_EQ(out.code, 0) << out.output;
  const auto json = Json::parse(out.output);
  EXPECT_EQ(json["samples"], 200);
  EXPECT_EQ(json["diagonal_se"].size(), 60u);
  EXPECT_NEAR(json["trace"], A.trace().item<double>(), 5 * json["trace_se"].get<double>());
  EXPECT_NEAR(json["frobenius"], A.norm().item<double>(), 5 * json["frobenius_se"].get<double>());
  const auto d = ritz::io::to_tensor(ritz::io::read_array(path("d.npz:diagonal")));
  const auto se = ritz::io::to_tensor(ritz::io::read_array(path("d.npz:diagonal_se")));
  EXPECT_TRUE(((d - A.diag()).abs() < 5 * se).all().item<bool>());

  const auto exact = run("--matrix " + path("A.npy") +
                         " --steps 5 --diagonal --exact --json - --out " + path("d.npy"));
  ASSERT_EQ(exact.code, 0) << exact.output;
  EXPECT_TRUE(at::equal(ritz::io::to_tensor(ritz::io::read_array(path("d.npy"))), A.diag()));
  EXPECT_NEAR(Json::parse(exact.output)["trace"], A.trace().item<double>(), 1e-12);
  EXPECT_EQ(run("--matrix " + path("A.npy") + " --exact").code, 2);
}

TEST_F(SpectrumCommand, OneProbeHasNoErrorsAndPositiveSpectraALogDeterminant) {
  const auto d = torch::linspace(1, 2, 30, torch::kDouble);
  write("A.npy", torch::diag(d));
  const auto out = run("--matrix " + path("A.npy") + " --start rademacher --json -");
  ASSERT_EQ(out.code, 0) << out.output;
  const auto json = Json::parse(out.output);
  EXPECT_TRUE(json["trace_se"].is_null());
  EXPECT_TRUE(json["frobenius_se"].is_null());
  EXPECT_NEAR(json["trace"], 45, 1e-10);
  EXPECT_NEAR(json["log_det"], d.log().sum().item<double>(), 1e-9);
}

TEST_F(SpectrumCommand, TakesSciPysSparseMatrices) {
  // 2 on the diagonal, -1 beside it: eigenvalues 2 - 2 cos(k pi / (n + 1))
  const int64_t n = 41;
  std::vector<double> data;
  std::vector<int64_t> indices, indptr{0};
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = std::max<int64_t>(0, i - 1); j <= std::min(n - 1, i + 1); ++j) {
      data.push_back(i == j ? 2 : -1);
      indices.push_back(j);
    }
    indptr.push_back(static_cast<int64_t>(indices.size()));
  }
  const auto array = [](const char* name, const Tensor& t) { return ritz::io::to_array(name, t); };
  ritz::io::write_arrays(path("A.npz"),
                         {array("data", torch::tensor(data, torch::kDouble)),
                          array("indices", torch::tensor(indices, torch::kInt)),
                          array("indptr", torch::tensor(indptr, torch::kInt)),
                          array("format", torch::tensor({'c', 's', 'r'}, torch::kByte)),
                          array("shape", torch::tensor({n, n}, torch::kLong))});
  const auto out = run("--matrix " + path("A.npz") + " --json -");
  ASSERT_EQ(out.code, 0) << out.output;
  EXPECT_NEAR(Json::parse(out.output)["lambda_max"], 2 + 2 * std::cos(M_PI / (n + 1)), 1e-10);
}

TEST_F(SpectrumCommand, MeasuresTheCurvatureOfANetwork) {
  ritz::RandomStream random(4, ritz::stream_id("tests/spectrum/data"));
  write("X.npy", random.normal({40, 5}, torch::kFloat64));
  write("y.npy", random.integers({40}, 0, 3));
  const std::string line = "--model mlp:5-4-3:tanh --dtype float64 --data " + path("X.npy") +
                           " --labels " + path("y.npy") + " --json - --operator ";
  const auto measure = [&](const std::string& kind) {
    const auto out = run(line + kind);
    EXPECT_EQ(out.code, 0) << out.output;
    return Json::parse(out.output);
  };
  const int64_t P = 5 * 4 + 4 + 4 * 3 + 3;
  const auto hessian = measure("hessian");
  EXPECT_EQ(hessian["parameters"], P);
  EXPECT_LT(hessian["lambda_min"].get<double>(), 0);  // at a random point
  // The full batch is the Hessian itself; the noise of the full batch is nothing.
  EXPECT_NEAR(measure("hessian --batch 40")["lambda_max"], hessian["lambda_max"].get<double>(),
              1e-10);
  EXPECT_NEAR(measure("noise --batch 40")["lambda_max"], 0, 1e-10);
  EXPECT_GT(measure("noise --batch 4")["lambda_max"].get<double>(), 1e-3);
  for (const char* kind : {"ggn", "fisher", "gradient-covariance"}) {
    const auto json = measure(kind);
    EXPECT_GE(json["lambda_min"].get<double>(), -1e-12) << kind;
    EXPECT_GT(json["lambda_max"].get<double>(), 0) << kind;
  }
  EXPECT_EQ(run(line + "noise").code, 2);
  EXPECT_EQ(run(line + "hessian --batch 41").code, 3);
}

TEST_F(SpectrumCommand, IsRepeatedExactlyBySeed) {
  write("A.npy", symmetric(50));
  const std::string line = "--matrix " + path("A.npy") + " --steps 8 --json - --seed ";
  const auto a = Json::parse(run(line + "5").output), b = Json::parse(run(line + "5").output);
  const auto c = Json::parse(run(line + "6").output);
  EXPECT_EQ(a["nodes"], b["nodes"]);
  EXPECT_NE(a["nodes"], c["nodes"]);
}

TEST_F(SpectrumCommand, EndsWithOneLineAndTheRightCode) {
  auto A = symmetric(9);
  write("A.npy", A);
  A[2][5] += 1;
  write("skew.npy", A);
  A[2][5] = std::nan("");
  write("nan.npy", A);
  write("wide.npy", torch::ones({3, 4}));
  const auto fails = [&](const std::string& arguments, int code) {
    const auto out = run(arguments);
    EXPECT_EQ(out.code, code) << out.output;
    EXPECT_EQ(std::count(out.output.begin(), out.output.end(), '\n'), 1) << out.output;
    EXPECT_EQ(out.output.rfind("ritz spectrum: ", 0), 0u) << out.output;
  };
  fails("--matrix " + path("missing.npy"), 3);
  fails("--matrix " + path("skew.npy"), 3);
  fails("--matrix " + path("nan.npy"), 3);
  fails("--matrix " + path("wide.npy"), 3);
  fails("--matrix " + path("A.npy") + " --top 10", 3);
  fails("--matrix " + path("A.npy") + " --steps 0", 2);
  fails("--matrix " + path("A.npy") + " --vectors " + path("V.npy"), 2);
  fails("--matrix " + path("A.npy") + " --density " + path("A.npy"), 2);  // exists
  fails("--matrix " + path("A.npy") + " --out " + path("s.csv"), 2);
}

}  // namespace
