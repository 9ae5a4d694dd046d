// without libtorch
// `ritz spectrum scaling` as a user meets it.
#include <cmath>
#include <sstream>

#include "ritz/io/array_file.h"
#include "tests/apps/program.h"
#include "tests/dist/launch.h"

namespace ritz::tests {
namespace {

class SpectrumScaling : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    // 120 samples of 6 numbers, the label being the largest of the first three.
    auto x = io::make_array("x", {120, 6}, io::DType::float32);
    auto y = io::make_array("y", {120}, io::DType::int64);
    auto* values = reinterpret_cast<float*>(io::mutable_data(x));
    auto* labels = reinterpret_cast<int64_t*>(io::mutable_data(y));
    for (int i = 0; i < 120; ++i) {
      for (int j = 0; j < 6; ++j) values[6 * i + j] = std::sin(static_cast<float>(i * i + 7 * j));
      labels[i] = std::max_element(values + 6 * i, values + 6 * i + 3) - (values + 6 * i);
    }
    io::write_arrays((work() / "x.npy").string(), {x}, {.force = true});
    io::write_arrays((work() / "y.npy").string(), {y}, {.force = true});
  }
  static constexpr auto kLine =
      "spectrum scaling --model mlp:6-8-3:tanh --data x.npy --labels y.npy --batches 8 --seed 1 ";
};

TEST_F(SpectrumScaling, TellsTheLearningRateForEachBatchSize) {
  const auto run = ritz(std::string(kLine) +
                        "--batch-sizes 4,16,64 --fit-at 16,32 "
                        "--learning-rate 0.1 --at-batch 16 --json r.json "
                        "--out t.csv --plot p.svg");
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_NE(run.out.find("lr sgd"), std::string::npos) << run.out;
  const auto r = json("r.json");
  EXPECT_EQ(r["command"], "spectrum scaling");
  EXPECT_EQ(r["theory"], "wigner");
  EXPECT_EQ(r["noise"], "fit");
  EXPECT_EQ(r["fit_at"], (std::vector<int64_t>{16, 32}));
  EXPECT_GT(r["noise_scale"].get<double>(), 0);
  for (const char* key : {"lambda_1", "lambda_P", "c", "b_crit", "r2"})
    EXPECT_TRUE(r[key].is_number()) << key;
  ASSERT_EQ(r["batch"].size(), 3u);
  ASSERT_EQ(r["fit_batches"].size(), 1u);
  EXPECT_EQ(r["fit_batches"][0]["B"], 32);
  for (const auto& row : r["batch"])
    for (const char* key : {"B", "b", "lambda_1", "lambda_1_se", "lambda_P", "lambda_P_se",
                            "predicted_lambda_1", "predicted_lambda_P"})
      EXPECT_TRUE(row[key].is_number()) << key;
  ASSERT_EQ(r["rules"].size(), 3u);
  const double lambda_1 = r["lambda_1"], c = r["c"];
  EXPECT_NEAR(r["b_crit"].get<double>(), c / lambda_1, 1e-9);
  const auto& tuned = r["rules"][1];
  EXPECT_NEAR(tuned["lr_sgd"].get<double>(), 0.1, 1e-12);
  EXPECT_NEAR(tuned["lr_adam"].get<double>(), 0.1, 1e-12);
  EXPECT_NEAR(r["rules"][2]["lr_adam"].get<double>(), 0.2, 1e-12);
  EXPECT_NEAR(tuned["damping_law"].get<double>(), 0.1 * c / 2 * (1 / 16. - 1 / 120.), 1e-9);
  EXPECT_GE(r["rules"][2]["lr_sgd"].get<double>(), 0.1);
  std::istringstream table(read_text(work() / "t.csv"));
  std::string head;
  std::getline(table, head);
  EXPECT_NE(head.find("B,b,lambda_1,lambda_1_se"), std::string::npos) << head;
  EXPECT_NE(read_text(work() / "p.svg").find("<svg"), std::string::npos);
}

TEST_F(SpectrumScaling, GivesTheStableRateWhereNothingWasTuned) {
  const auto run =
      ritz(std::string(kLine) + "--batch-sizes 16,120 --momentum 0.5 --json - --quiet");
  ASSERT_EQ(run.code, 0) << run.err;
  const auto r = nlohmann::json::parse(run.out);
  const auto& all = r["rules"][1];
  EXPECT_TRUE(all["b"].is_null());  // infinite: the whole data have no noise
  EXPECT_NEAR(all["lr_sgd"].get<double>(), 2 * 1.5 / r["lambda_1"].get<double>(), 1e-9);
  EXPECT_TRUE(all["lr_adam"].is_null());
}

TEST_F(SpectrumScaling, TakesGaussNewtonWithWishartNoiseAndOtherEstimators) {
  for (const std::string more :
       {"--operator ggn", "--noise directional", "--noise frobenius",
        "--operator fisher --noise directional --noise-samples 16", "--replacement"}) {
    const auto run = ritz(std::string(kLine) + "--batch-sizes 8 --json - " + more);
    ASSERT_EQ(run.code, 0) << more << "\n" << run.err;
    const auto r = nlohmann::json::parse(run.out);
    const bool hessian = more.find("--operator") == std::string::npos;
    EXPECT_EQ(r["theory"], hessian ? "wigner" : "wishart") << more;
    EXPECT_GT(r["rules"][0]["lr_sgd"].get<double>(), 0) << more;
  }
}

TEST_F(SpectrumScaling, RefusesWhatCannotBe) {
  expect_error(std::string(kLine) + "--batch-sizes 0", 2, "--batch-sizes");
  expect_error(std::string(kLine) + "--batch-sizes 121", 3, "121");
  expect_error(std::string(kLine) + "--batch-sizes 8 --fit-at 500", 3, "500");
  expect_error(std::string(kLine) + "--learning-rate 0.1", 2, "--at-batch");
  expect_error(std::string(kLine) + "--learning-rate 0.1 --at-batch 121", 3, "121");
  expect_error(std::string(kLine) + "--steps 0", 2, "--steps");
  expect_error(std::string(kLine) + "--noise frobenius --fit-at 8", 2, "--fit-at");
  expect_error(std::string(kLine) + "--theory normal", 2, "--theory");
  expect_error("spectrum scaling --data x.npy --labels y.npy", 2, "--model");
}

TEST_F(SpectrumScaling, TwoRanksMeasureWhatOneDoes) {
  const std::string line = std::string(kLine) + "--batch-sizes 8,32 --fit-at 32 --tolerance 1e-5";
  ASSERT_EQ(ritz(line + " --json one.json").code, 0);
  const std::string port = std::to_string(test::free_port());
  const auto both = shell("export WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=" + port +
                          " OMP_NUM_THREADS=1\nRANK=1 $RITZ " + line + " & RANK=0 $RITZ " + line +
                          " --json two.json && wait");
  ASSERT_EQ(both.code, 0) << both.err;
  const auto one = json("one.json"), two = json("two.json");
  // The full data's products are summed over ranks in another order: float32 rounding.
  EXPECT_NEAR(one["lambda_1"].get<double>(), two["lambda_1"].get<double>(),
              1e-4 * one["lambda_1"].get<double>());
  for (int i = 0; i < 2; ++i)
    EXPECT_NEAR(one["batch"][i]["lambda_1"].get<double>(),
                two["batch"][i]["lambda_1"].get<double>(),
                1e-5 * one["batch"][i]["lambda_1"].get<double>());
}

TEST_F(SpectrumScaling, LearnerTrainsThroughTheProgram) {
  const auto run = ritz(
      "train --model mlp:6-8-3 --data x.npy --labels y.npy --optimizer spectral --batch 10 --steps "
      "60 --out run");
  ASSERT_EQ(run.code, 0) << run.err;
  std::istringstream log(read_text(work() / "run" / "optimizer.csv"));
  std::string head;
  std::getline(log, head);
  EXPECT_NE(head.find("L,l,learner_lr,momentum"), std::string::npos) << head;
  const auto resumed = ritz(
      "train --model mlp:6-8-3 --data x.npy --labels y.npy --optimizer spectral --opt momentum=0.5 "
      "--opt floor=pos --opt operator=ggn --batch 10 --steps 20 --out other");
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  expect_error(
      "train --model mlp:6-8-3 --data x.npy --labels y.npy --optimizer spectral --schedule "
      "cosine --out third",
      2, "--schedule");
}

}  // namespace
}  // namespace ritz::tests
