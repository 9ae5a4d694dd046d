// Calls `ritz koopman spectrum` as a user would.
#include <torch/types.h>

#include <cmath>

#include "ritz/base/random.h"
#include "ritz/io/array_file.h"
#include "ritz/io/tensor.h"
#include "tests/apps/program.h"

namespace ritz::tests {
namespace {

class KoopmanSpectrum : public ProgramTest {
 protected:
  void save(const std::string& name, const Tensor& x) const {
    io::write_arrays(work() / name, {io::to_array("", x)});
  }
  Tensor load(const std::string& name) const {
    return io::to_tensor(io::read_array(work() / name));
  }
  /// Two damped oscillations, [T, 4], with noise.
  Tensor oscillations(int64_t T, double noise = 0) const {
    Tensor B = torch::zeros({4, 4}, torch::kFloat64);
    for (const auto& [k, r, f] : {std::tuple(0, 0.99, 0.3), {2, 0.97, 1.1}}) {
      B[k][k] = B[k + 1][k + 1] = r * std::cos(f);
      B[k][k + 1] = -r * std::sin(f);
      B[k + 1][k] = r * std::sin(f);
    }
    std::vector<Tensor> x{torch::ones({4}, torch::kFloat64)};
    for (int64_t t = 1; t < T; ++t) x.push_back(B.matmul(x.back()));
    return torch::stack(x) + noise * RandomStream(1).normal({T, 4}, torch::kFloat64);
  }
  /// A cyclic shift of `n` states, `copies` times over, as pairs: a rotation's spectrum.
  void save_shift(int64_t n, int64_t copies) const {
    const Tensor x = torch::eye(n, torch::kFloat64).repeat({copies, 1});
    save("X.npy", x);
    save("Y.npy", x.roll(1, 1));
  }
  nlohmann::json run(const std::string& arguments) {
    const Outcome outcome = ritz("koopman spectrum " + arguments + " --json - ");
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.code == 0 ? nlohmann::json::parse(outcome.out) : nlohmann::json();
  }
  static bool warned(const nlohmann::json& json, const std::string& code) {
    for (const auto& warning : json["warnings"]) {
      if (warning["code"] == code) return true;
    }
    return false;
  }
};

TEST_F(KoopmanSpectrum, EveryEigenvalueOfALinearMapIsVerified) {
  save("X.npy", oscillations(200));
  for (const char* method : {"edmd", "resdmd", "dmd"}) {
    const auto json = run(std::string("X.npy --dt 0.5 --method ") + method);
    ASSERT_EQ(json["eigenvalues"].size(), 4u) << method;
    for (const auto& value : json["eigenvalues"]) {
      EXPECT_TRUE(value["verified"]);
      EXPECT_LE(value["residual_holdout"], value["residual_upper"]);
      const double re = value["re"], im = value["im"], modulus = std::hypot(re, im);
      const double rate = value["growth_rate"], frequency = value["angular_frequency"];
      EXPECT_LT(std::min(std::abs(modulus - 0.99), std::abs(modulus - 0.97)), 1e-9);
      EXPECT_NEAR(rate, std::log(modulus) / 0.5, 1e-12);
      EXPECT_NEAR(frequency, std::atan2(im, re) / 0.5, 1e-12);
    }
    EXPECT_EQ(json["rank"], 4);
    EXPECT_TRUE(json["tower"]["certified"]);
    EXPECT_EQ(json["tower"]["task"], "eigenpairs");
    EXPECT_FALSE(json["tower"]["limits"].empty());
    EXPECT_TRUE(json["isometry_defect"].is_number());
  }
}

TEST_F(KoopmanSpectrum, ResdmdSortsAndNothingIsVerifiedWithoutHeldOutPairs) {
  save("X.npy", oscillations(200, 0.05));
  const auto json = run("X.npy --method resdmd --dictionary delay --size 5 --holdout 0");
  ASSERT_EQ(json["eigenvalues"].size(), 20u);
  double last = 0;
  for (const auto& value : json["eigenvalues"]) {
    EXPECT_GE(value["residual"].get<double>(), last);
    last = value["residual"];
    EXPECT_TRUE(value["residual_holdout"].is_null());
    EXPECT_TRUE(value["residual_upper"].is_null());
    EXPECT_FALSE(value["verified"]);
  }
  EXPECT_FALSE(json["tower"]["certified"]);
  EXPECT_TRUE(warned(json, "no_holdout"));
  // The tolerance is what "verified" is measured by.
  for (const double tolerance : {0.05, 0.5}) {
    const auto held = run("X.npy --tolerance " + std::to_string(tolerance));
    for (const auto& value : held["eigenvalues"]) {
      EXPECT_EQ(value["verified"].get<bool>(), value["residual_upper"].get<double>() <= tolerance);
    }
  }
}

TEST_F(KoopmanSpectrum, AMeasurePreservingMapGetsItsSpectrumAndAGrid) {
  save_shift(5, 40);
  const auto json = run(
      "X.npy Y.npy --measure-preserving --region=-1.2,1.2,-1.2,1.2 --spacing 0.1 --out grid.csv");
  ASSERT_TRUE(json["certificate"].is_number());
  EXPECT_TRUE(json["tower"]["certified"]);
  const double certificate = json["certificate"];
  EXPECT_LE(certificate, 0.15);  // a spacing and a half
  EXPECT_GE(json["certificate_upper"].get<double>(), 0);
  EXPECT_GE(json["spectrum"].size(), 5u);
  for (const auto& point : json["spectrum"]) {
    const double angle = std::atan2(point["im"].get<double>(), point["re"].get<double>());
    const double k = std::round(angle * 5 / (2 * M_PI));
    EXPECT_LE(std::hypot(point["re"].get<double>() - std::cos(2 * M_PI * k / 5),
                         point["im"].get<double>() - std::sin(2 * M_PI * k / 5)),
              certificate + 1e-12);
  }
  const std::string text = test::read_text(work() / "grid.csv");
  EXPECT_EQ(text.substr(0, text.find('\n')), "re,im,tau,distance");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 626);
  EXPECT_NE(text.find("\n-1.2,-1.2,"), std::string::npos);
}

TEST_F(KoopmanSpectrum, TheCertificateIsRefusedWhereTheMeasureIsNotPreserved) {
  save("X.npy", oscillations(400) * 3);
  // Half the energy goes at each step: nothing like an isometry.
  const Tensor x = RandomStream(2).normal({2000, 2}, torch::kFloat64);
  save("A.npy", x);
  save("B.npy", 0.5 * x);
  const auto json = run("A.npy B.npy --measure-preserving --spacing 0.2 --out grid.csv");
  EXPECT_TRUE(json["spectrum"].is_null());
  EXPECT_TRUE(json["certificate"].is_null());
  EXPECT_TRUE(warned(json, "not_measure_preserving"));
  EXPECT_FALSE(json["tower"]["certified"]);
  // tau is there, the distance is not.
  const std::string text = test::read_text(work() / "grid.csv");
  const std::string row = text.substr(text.find('\n') + 1, text.find('\n', text.find('\n') + 1));
  EXPECT_EQ(row[row.find('\n') - 1], ',');
}

TEST_F(KoopmanSpectrum, KernelsMasksTrajectoriesAndComplexNumbersAreTaken) {
  Tensor x = oscillations(60).reshape({3, 20, 4});
  x.select(2, 1).fill_(std::numeric_limits<double>::quiet_NaN());
  save("X.npy", x);
  save("mask.npy", torch::tensor({0, 1, 0, 0}, torch::kUInt8));
  const auto masked = run("X.npy --mask mask.npy --dictionary delay --size 3");
  EXPECT_EQ(masked["rank"], 4);  // nine functions of a four-dimensional system
  EXPECT_TRUE(warned(masked, "rank_deficient"));
  EXPECT_EQ(masked["pairs_holdout"], 17);  // one whole trajectory, two delays less

  save("Z.npy",
       at::polar(torch::ones({50}, torch::kFloat64), 0.4 * torch::arange(50, torch::kFloat64))
           .unsqueeze(1));
  const auto complex = run("Z.npy --method mpedmd");
  EXPECT_NEAR(complex["eigenvalues"][0]["im"].get<double>(), std::sin(0.4), 1e-12);

  save("K.npy", oscillations(40, 0.1));
  const auto kernel = run("K.npy --method kernel --size 12 --modes modes.npz");
  EXPECT_EQ(kernel["rank"], 12);
  for (const auto& value : kernel["eigenvalues"]) EXPECT_FALSE(value["verified"]);
  EXPECT_FALSE(kernel["tower"]["certified"]);
  EXPECT_EQ(load("modes.npz:modes").sizes(), (at::IntArrayRef{12, 4}));
}

TEST_F(KoopmanSpectrum, WeightsAndCentresComeFromFiles) {
  const Tensor x = RandomStream(3).uniform({300, 1}, torch::kFloat64, -1, 1);
  save("X.npy", x);
  save("Y.npy", -x);
  save("w.npy", torch::arange(1., 301.));
  save("c.npy", RandomStream(4).uniform({80, 1}, torch::kFloat64, -1, 1));
  const auto json = run("X.npy Y.npy --weights w.npy --dictionary rbf --size 7 --centres c.npy");
  EXPECT_EQ(json["rank"], 7);
  EXPECT_EQ(json["inputs"].size(), 4u);
}

TEST_F(KoopmanSpectrum, RanksGiveTheAnswerOfOneProcess) {
  if (shell("mpirun --version").code != 0) GTEST_SKIP() << "no mpirun";
  save("X.npy", oscillations(300, 0.1));
  const std::string line =
      "koopman spectrum X.npy --dictionary delay --size 5 --spacing 0.1 "
      "--seed 3 --quiet --force ";
  ASSERT_EQ(ritz(line + "--out one.npz --json one.json").code, 0);
  const Outcome two = shell("mpirun --allow-run-as-root --oversubscribe -np 2 \"$RITZ\" " + line +
                            "--out two.npz --json two.json");
  ASSERT_EQ(two.code, 0) << two.err;
  const Tensor one = load("one.npz:tau");
  EXPECT_LT((one - load("two.npz:tau")).abs().max().item<double>(), 1e-11);
  const auto a = json("one.json")["eigenvalues"], b = json("two.json")["eigenvalues"];
  ASSERT_EQ(a.size(), b.size());
  for (size_t k = 0; k < a.size(); ++k) {
    for (const char* key : {"re", "residual", "residual_holdout", "residual_upper"}) {
      EXPECT_NEAR(a[k][key].get<double>(), b[k][key].get<double>(), 1e-11) << key;
    }
  }
}

TEST_F(KoopmanSpectrum, WhatTheLineShowsToBeWrongIsUsage) {
  save("X.npy", oscillations(30));
  expect_error("koopman spectrum", 2, "X");
  expect_error("koopman spectrum X.npy --method wavelet", 2, "--method");
  expect_error("koopman spectrum X.npy --dictionary wavelet", 2, "--dictionary");
  expect_error("koopman spectrum X.npy --region 0,1,0", 2, "--region");
  expect_error("koopman spectrum X.npy --region 1,0,0,1", 2, "--region");
  expect_error("koopman spectrum X.npy --holdout 1", 2, "--holdout");
  expect_error("koopman spectrum X.npy --method kernel --measure-preserving", 2, "kernel");
  expect_error("koopman spectrum X.npy --method kernel --dictionary pod", 2, "--dictionary");
  expect_error("koopman spectrum X.npy --method dmd --dictionary rbf", 2, "--dictionary");
  expect_error("koopman spectrum X.npy X.npy X.npy", 2, "--trajectories");
}

TEST_F(KoopmanSpectrum, WhatDoesNotFitTheDataIsBadInput) {
  save("X.npy", oscillations(30));
  save("short.npy", oscillations(20));
  save("one.npy", oscillations(1));
  Tensor holes = oscillations(30);
  holes[7][2] = std::numeric_limits<double>::quiet_NaN();
  save("holes.npy", holes);
  save("constant.npy", torch::ones({30, 2}, torch::kFloat64));
  Tensor w = torch::ones({30}, torch::kFloat64);
  w[3] = 0;
  save("w.npy", w);
  const std::string s = "koopman spectrum ";
  expect_error(s + "X.npy short.npy", 3, "Y");
  expect_error(s + "one.npy", 3, "two snapshots");
  expect_error(s + "holes.npy", 3, "state 7, feature 2");
  expect_error(s + "X.npy --weights w.npy", 3, "row 3");
  expect_error(s + "X.npy --dictionary delay --size 40", 3, "delays");
  expect_error(s + "X.npy --dictionary polynomial --size 29 --holdout 0", 3, "fewer functions");
  expect_error(s + "X.npy --dictionary polynomial --size 40 --measure-preserving", 3, "fewer");
  expect_error(s + "constant.npy --dictionary rbf", 3, "constant");
  expect_error(s + "constant.npy --method kernel", 3, "constant");
  expect_error(s + "nothing.npy", 3, "nothing.npy");
}

}  // namespace
}  // namespace ritz::tests
