// without libtorch
// `ritz koopman measure`, `mixing`, `forecast` and the generators of dynamics, as a user meets
// them.
#include <cmath>
#include <cstring>

#include "ritz/io/array_file.h"
#include "tests/apps/program.h"

namespace ritz::tests {
namespace {

class KoopmanMeasure : public ProgramTest {
 protected:
  /// float64 arrays of a file.
  std::vector<double> numbers(const std::string& name) const {
    const auto array = io::read_array((work() / name).string());
    EXPECT_EQ(array.dtype, io::DType::float64);
    std::vector<double> out(static_cast<size_t>(array.count()));
    std::memcpy(out.data(), array.data, array.bytes());
    return out;
  }
  std::vector<int64_t> shape(const std::string& name) const {
    return io::read_array((work() / name).string()).shape;
  }
  /// A column of CSV: one or more waves with this angle a step.
  void write_wave(const std::string& name, int steps, double angle) const {
    std::string text;
    for (int t = 0; t < steps; ++t)
      text +=
          std::to_string(std::cos(angle * t)) + "," + std::to_string(std::sin(angle * t)) + "\n";
    write(name, text);
  }
};

TEST_F(KoopmanMeasure, EveryGeneratorWritesItsDataAndItsTruth) {
  for (const char* name :
       {"duffing --trajectories 20", "rossler --steps 50", "torus-skew --steps 50",
        "interval-pair --points 100", "seasonal-field --pixels 30 --steps 40"}) {
    const auto outcome = ritz(std::string("data make ") + name + " --out made.npz --force");
    EXPECT_EQ(outcome.code, 0) << name << outcome.err;
    EXPECT_FALSE(json("made.truth.json").empty()) << name;
  }
  ASSERT_EQ(ritz("data make disc-pair --points 50 --inside 7 --out disc.npz").code, 0);
  EXPECT_EQ(shape("disc.npz:X_inside"), (std::vector<int64_t>{7, 2}));
  EXPECT_EQ(numbers("disc.npz:Y"), numbers("disc.npz:Y_other"));
  EXPECT_NE(numbers("disc.npz:Y_inside"), numbers("disc.npz:Y_other_inside"));
}

TEST_F(KoopmanMeasure, AllThreeMethodsFindARotationsAngles) {
  write_wave("wave.csv", 400, 0.7);
  for (const char* method : {"mpedmd", "isometry", "moments"}) {
    const auto outcome =
        ritz(std::string("koopman measure wave.csv --observable 0 --method ") + method +
             " --kernel-order 2 --epsilon 0.05 --out m.csv --json m.json --force "
             "--plot m.svg");
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const auto made = json("m.json");
    // cos(.7 t): half of its energy 1/2 at each of +-.7. 400 steps end within a period.
    EXPECT_NEAR(made["integral"].get<double>(), 0.5, 0.01) << method;
    EXPECT_NEAR(made["norm_squared"].get<double>(), 0.5, 0.01) << method;
    EXPECT_EQ(made["tower"]["certified"], false);
    const auto theta = numbers("m.csv:theta"), density = numbers("m.csv:density");
    ASSERT_EQ(theta.size(), 1000u);
    const auto peak = std::max_element(density.begin(), density.end()) - density.begin();
    EXPECT_NEAR(std::abs(theta[static_cast<size_t>(peak)]), 0.7, 0.02) << method;
  }
  const auto atoms = json("m.json")["atoms"];
  EXPECT_NEAR(std::abs(atoms[0]["theta"].get<double>()), 0.7, 0.01);
  EXPECT_NEAR(atoms[0]["mass"].get<double>(), 0.25, 0.02);
}

TEST_F(KoopmanMeasure, ComplexObservableHasItsAngleOnOneSide) {
  ASSERT_EQ(ritz("data make cat-map --steps 20000 --observable --out cat.npz").code, 0);
  ASSERT_EQ(ritz("koopman measure cat.npz:X --observable cat.npz:g --method moments --moments 20 "
                 "--filter fourth --out m.npz --json m.json")
                .code,
            0);
  const auto moments = json("m.json")["moments"];
  const double exact[3][2] = {{.65625, 0}, {.25, -.0625}, {0, -.125}};
  for (size_t n = 0; n < 3; ++n) {  // 5 / sqrt(20000)
    EXPECT_NEAR(moments[n]["re"].get<double>(), exact[n][0], 0.035);
    EXPECT_NEAR(moments[n]["im"].get<double>(), exact[n][1], 0.035);
  }
}

TEST_F(KoopmanMeasure, MixingIsTheShareOfEigenfunctions) {
  write_wave("wave.csv", 500, 0.7);
  ASSERT_EQ(ritz("koopman mixing wave.csv --observable 0 --lags 100 --dimensions 1,2 --json m.json "
                 "--out m.csv")
                .code,
            0);
  const auto made = json("m.json");
  ASSERT_EQ(made["average"].size(), 2u);
  EXPECT_EQ(made["average"][1]["n"], 2);
  EXPECT_EQ(made["average"][1]["L"], 100);
  EXPECT_NEAR(made["average"][1]["value"].get<double>(), 1, 0.02);
  EXPECT_NEAR(made["average"][0]["value"].get<double>(), 0.5, 0.05);
  EXPECT_LT(made["noise_floor"].get<double>(), 0.01);
  EXPECT_EQ(numbers("m.csv:n2").size(), 101u);
  ASSERT_EQ(ritz("data make lorenz --steps 4000 --out lorenz.npy").code, 0);
  ASSERT_EQ(
      ritz("koopman mixing lorenz.npy --observable 0 --remove-mean --dictionary delay --size 5 "
           "--lags 1000 --json m.json --force")
          .code,
      0);
  EXPECT_LT(json("m.json")["average"][0]["value"].get<double>(), 0.05);
}

TEST_F(KoopmanMeasure, ForecastsHaveTheirShapesAndContinueAWave) {
  write_wave("wave.csv", 130, 0.7);
  for (const char* method : {"persistence", "climatology", "kernel", "verified"}) {
    const auto outcome = ritz(std::string("koopman forecast wave.csv --method ") + method +
                              " --horizon 7 --season 9 --out f.npy --json f.json --force");
    ASSERT_EQ(outcome.code, 0) << method << outcome.err;
    EXPECT_EQ(shape("f.npy"), (std::vector<int64_t>{7, 2})) << method;
    EXPECT_EQ(json("f.json")["method"], method);
    EXPECT_EQ(json("f.json")["tower"]["certified"], false);
  }
  for (const char* method : {"ar", "dmd --size 2", "edmd"}) {
    ASSERT_EQ(ritz(std::string("koopman forecast wave.csv --method ") + method +
                   " --horizon 7 --out f.npy --force --plot f.svg")
                  .code,
              0);
    const auto told = numbers("f.npy");
    // The file has six decimals.
    for (int h = 0; h < 7; ++h)
      EXPECT_NEAR(told[static_cast<size_t>(2 * h)], std::cos(.7 * (130 + h)), 1e-3) << method;
  }
  ASSERT_EQ(ritz("data make cat-map --trajectories 3 --steps 30 --out many.npy").code, 0);
  ASSERT_EQ(ritz("koopman forecast many.npy --method persistence --horizon 2 --out g.npy").code, 0);
  EXPECT_EQ(shape("g.npy"), (std::vector<int64_t>{3, 2, 2}));
}

TEST_F(KoopmanMeasure, MaskedColumnsStayInPlaceAndEmpty) {
  std::string text;
  for (int t = 0; t < 40; ++t)
    text += std::to_string(std::cos(.5 * t)) + ",," + std::to_string(std::sin(.5 * t)) + "\n";
  write("sea.csv", text);
  write("land.csv", "0\n1\n0\n");
  expect_error("koopman forecast sea.csv --horizon 2 --out f.npy", 3, "mask");
  ASSERT_EQ(
      ritz("koopman forecast sea.csv --mask land.csv --method dmd --horizon 2 --out g.npy").code,
      0);
  const auto told = numbers("g.npy");
  ASSERT_EQ(told.size(), 6u);
  EXPECT_TRUE(std::isnan(told[1]) && std::isnan(told[4]));
  EXPECT_NEAR(told[0], std::cos(.5 * 40), 1e-3);
}

TEST_F(KoopmanMeasure, RefusesWhatDoesNotFit) {
  write_wave("wave.csv", 50, 0.7);
  write("zero.csv", std::string([] {
          std::string all;
          for (int t = 0; t < 50; ++t) all += "0\n";
          return all;
        }()));
  expect_error("koopman measure wave.csv --epsilon 0 --out m.csv", 2, "--epsilon");
  expect_error("koopman measure wave.csv --kernel-order 11 --out m.csv", 2, "--kernel-order");
  expect_error("koopman measure wave.csv --observable 2 --out m.csv", 3, "--observable");
  expect_error("koopman measure wave.csv --observable zero.csv --out m.csv", 3, "zero");
  expect_error("koopman measure wave.csv --method moments --moments 50 --out m.csv", 3, "moments");
  expect_error("koopman mixing wave.csv --lags 60 --out m.csv", 3, "lag");
  expect_error("koopman mixing wave.csv --lags 5 --dimensions 3 --out m.csv", 3, "dimensions");
  expect_error("koopman forecast wave.csv --delays 49 --out f.npy", 3, "delays");
  expect_error("koopman forecast wave.csv --method verified --dictionary fourier --out f.npy", 2,
               "--dictionary");
}

}  // namespace
}  // namespace ritz::tests
