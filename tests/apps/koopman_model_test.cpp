// without libtorch
// `ritz koopman train`, `encode`, `control`, and what takes their checkpoint, as a user meets them.
#include <cmath>

#include "ritz/io/array_file.h"
#include "ritz/io/safetensors.h"
#include "tests/apps/program.h"

namespace {

using ritz::io::DType;

class KoopmanModel : public ritz::tests::ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    save("x.npy", {6, 30, 3}, [](int64_t n, int64_t t, int64_t j) {
      return std::cos(0.4 * static_cast<double>(t) + static_cast<double>(n) -
                      static_cast<double>(j));
    });
    save("a.npy", {6, 30, 1}, [](int64_t n, int64_t t, int64_t) {
      return std::sin(static_cast<double>(7 * n + t * t));
    });
  }
  template <class F>
  void save(const std::string& name, const std::vector<int64_t>& shape, const F& value) {
    auto array = ritz::io::make_array("", shape, DType::float64);
    auto* at = reinterpret_cast<double*>(ritz::io::mutable_data(array));
    for (int64_t n = 0; n < shape[0]; ++n) {
      for (int64_t t = 0; t < shape[1]; ++t) {
        for (int64_t j = 0; j < shape[2]; ++j) *at++ = value(n, t, j);
      }
    }
    ritz::io::write_arrays(work() / name, {array}, {.force = true});
  }
  ritz::io::Array read(const std::string& name) const {
    return ritz::io::read_array((work() / name).string());
  }
  const std::string kTrain =
      "koopman train x.npy --latent 4 --network mlp:8 --window 8 --batch 8 --threads 1 --quiet ";
};

TEST_F(KoopmanModel, TrainsAndAnswersFromItsCheckpoint) {
  const auto trained = ritz(kTrain + "--steps 60 --horizon 3 --out run");
  ASSERT_EQ(trained.code, 0) << trained.err;
  const auto summary = json("run/summary.json");
  EXPECT_GE(summary["effective_dimension"].get<double>(), 1);
  EXPECT_LE(summary["spectral_radius"].get<double>(), 1 + 1e-6);  // the stable operator
  EXPECT_GT(summary["nrmse"].get<double>(), 0);
  EXPECT_EQ(summary["nrmse_horizon"], 3);
  bool has_matrix = false;
  for (const auto& array : ritz::io::read_safetensors(work() / "run/model.safetensors").arrays) {
    if (array.name == "K") has_matrix = array.shape == std::vector<int64_t>{4, 4};
  }
  EXPECT_TRUE(has_matrix);
  EXPECT_TRUE(
      ritz::test::read_text(work() / "run/log.csv").starts_with("step,epoch,loss,lr,seconds,"));

  const std::string from = " --checkpoint run/model.safetensors --quiet ";
  EXPECT_EQ(ritz("koopman encode x.npy" + from + "--out z.npy").code, 0);
  EXPECT_EQ(read("z.npy").shape, (std::vector<int64_t>{6, 30, 4}));
  const auto forecast = ritz("koopman forecast x.npy" + from + "--horizon 5 --out f.npy");
  ASSERT_EQ(forecast.code, 0) << forecast.err;
  EXPECT_EQ(read("f.npy").shape, (std::vector<int64_t>{6, 5, 3}));
  const auto spectrum = ritz("koopman spectrum x.npy" + from + "--json s.json");
  ASSERT_EQ(spectrum.code, 0) << spectrum.err;
  EXPECT_EQ(json("s.json")["eigenvalues"].size(), 4U);
  EXPECT_TRUE(json("s.json")["eigenvalues"][0]["residual_upper"].is_number());
  ASSERT_EQ(ritz("koopman spectrum" + from + "--json bare.json").code, 0);
  EXPECT_TRUE(json("bare.json")["eigenvalues"][0]["residual"].is_null());
  EXPECT_FALSE(json("bare.json")["eigenvalues"][0]["verified"].get<bool>());
}

TEST_F(KoopmanModel, EveryMethodAndOperatorTrains) {
  int number = 0;
  for (const char* how :
       {"--method autoencoder --operator learned", "--method vae", "--method nonlinear-vae",
        "--method pfnn --transient 5", "--operator ridge", "--operator blockdiag --scaling pixel",
        "--operator unitary --estimator gaussian --k 1", "--reduction sum --estimator nce_ref"}) {
    const std::string out = "run" + std::to_string(number++);
    const auto outcome = ritz(kTrain + "--steps 12 " + how + " --out " + out);
    EXPECT_EQ(outcome.code, 0) << how << "\n" << outcome.err;
    EXPECT_EQ(json(out + "/summary.json")["steps"], 12);
  }
}

TEST_F(KoopmanModel, ControlsAndRelations) {
  ASSERT_EQ(ritz(kTrain + "--steps 40 --actions a.npy --operator learned --out run").code, 0);
  save("one.npy", {1, 4, 3},
       [](int64_t, int64_t t, int64_t j) { return static_cast<double>(t + j); });
  ritz::tests::Outcome outcome = shell(
      "$RITZ koopman control one.npy --checkpoint run/model.safetensors --goal goal.csv --horizon "
      "7 "
      "--limit 0.5 --quiet --out plan.npz --json plan.json");
  EXPECT_EQ(outcome.code, 3);  // there is no goal yet
  write("goal.csv", "0.5,0.5,0.5\n");
  outcome = ritz(
      "koopman control one.npy --checkpoint run/model.safetensors --goal goal.csv --horizon 7 "
      "--limit "
      "0.5 --quiet --out plan.npz --json plan.json");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_LT(json("plan.json")["closed_loop_radius"].get<double>(), 1);
  EXPECT_EQ(read("plan.npz:actions").shape, (std::vector<int64_t>{7, 1}));
  EXPECT_EQ(read("plan.npz:states").shape, (std::vector<int64_t>{7, 3}));

  write("r.csv", "0,1,1\n1,0,1\n1,1,0\n");
  auto objects = ritz::io::make_array("", {6, 30, 3, 1}, DType::float64);
  const auto flat = read("x.npy");
  std::copy(flat.data, flat.data + flat.bytes(), ritz::io::mutable_data(objects));
  ritz::io::write_arrays(work() / "o.npy", {objects});
  outcome = ritz(
      "koopman train o.npy --method graph --relations r.csv --latent 2 --network mlp:8 --window 8 "
      "--batch 8 --steps 20 --quiet --out graph");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  for (const auto& array : ritz::io::read_safetensors(work() / "graph/model.safetensors").arrays) {
    if (array.name == "K") {
      EXPECT_EQ(array.shape, (std::vector<int64_t>{2, 2, 2}));
    }
  }
  EXPECT_EQ(
      ritz("koopman forecast o.npy --checkpoint graph/model.safetensors --horizon 2 --quiet --out "
           "f.npy")
          .code,
      0);
  EXPECT_EQ(read("f.npy").shape, (std::vector<int64_t>{6, 2, 3, 1}));
}

TEST_F(KoopmanModel, PairsAndMasksAreTaken) {
  write("p.csv", "1,0\n0,1\n.5,.5\n1,1\n0,0\n.3,.1\n.7,.9\n.2,.4\n");
  write("q.csv", "0,1\n1,0\n.6,.5\n1,.5\n.1,0\n.2,.1\n.6,.9\n.3,.4\n");
  auto outcome = ritz(
      "koopman train p.csv q.csv --latent 2 --network mlp:4 --window 1 --batch 3 --steps 5 "
      "--method "
      "autoencoder --quiet --out pairs");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  save("nan.npy", {6, 30, 3}, [](int64_t n, int64_t t, int64_t j) {
    return n == 2 && t == 3 ? std::nan("")
                            : std::cos(0.4 * static_cast<double>(t) - static_cast<double>(j));
  });
  expect_error("koopman train nan.npy --steps 3 --out bad", 3, "index 2 3 0");
  auto mask = ritz::io::make_array("", {6, 30}, DType::float64);
  reinterpret_cast<double*>(ritz::io::mutable_data(mask))[2 * 30 + 3] = 1;
  ritz::io::write_arrays(work() / "mask.npy", {mask});
  outcome = ritz(
      "koopman train nan.npy --mask mask.npy --latent 2 --network mlp:4 --window 8 --batch 8 "
      "--steps 5 --quiet --out masked");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
}

TEST_F(KoopmanModel, SaysWhatIsWrong) {
  // What the line alone shows: 2. What does not fit the data: 3.
  expect_error("koopman train x.npy --latent 0 --out run", 2, "--latent");
  expect_error("koopman train x.npy --operator free --out run", 2, "--operator");
  expect_error("koopman train x.npy --method autoencoder --alpha 1 --out run", 2, "--alpha");
  expect_error("koopman train x.npy --method graph --out run", 2, "--relations");
  expect_error("koopman train x.npy --window 8 --horizon 9 --out run", 2, "--horizon");
  expect_error("koopman train x.npy --window 8 --k 5 --out run", 2, "--k");
  expect_error("koopman train x.npy --window 40 --out run", 3, "window");
  expect_error("koopman train x.npy --network cnn --out run", 3, "network");
  expect_error("koopman train x.npy --network conv --out run", 3, "network");
  expect_error("koopman train none.npy --out run", 3, "none.npy");
  save("flat.npy", {4, 30, 2}, [](int64_t, int64_t t, int64_t j) {
    return j == 0 ? std::sin(static_cast<double>(t)) : 1.0;
  });
  expect_error("koopman train flat.npy --window 8 --batch 8 --steps 3 --out run", 3, "channel 1");
  save("short.npy", {6, 20, 1}, [](int64_t, int64_t, int64_t) { return 0.0; });
  expect_error("koopman train x.npy --window 8 --actions short.npy --out run", 3, "actions");
  write("r.csv", "0,-1\n1,0\n");
  save("o.npy", {30, 2, 2}, [](int64_t t, int64_t n, int64_t j) {
    return std::sin(static_cast<double>(t + 3 * n + 5 * j));
  });
  expect_error(
      "koopman train o.npy --method graph --relations r.csv --window 8 --batch 8 --out run", 3,
      "relations");
  ASSERT_EQ(ritz(kTrain + "--steps 5 --out done").code, 0);
  expect_error(kTrain + "--steps 5 --out done", 2, "--out");
  save("wide.npy", {6, 30, 4}, [](int64_t, int64_t t, int64_t) { return static_cast<double>(t); });
  expect_error("koopman encode wide.npy --checkpoint done/model.safetensors --out z.npy", 3,
               "wide.npy");
  expect_error("koopman encode x.npy --checkpoint x.npy --out z.npy", 3, "x.npy");
  expect_error("koopman control x.npy --checkpoint done/model.safetensors --goal x.npy --out p.npz",
               3, "one trajectory");
}

TEST_F(KoopmanModel, DivergenceEndsWithFourAndItsFiles) {
  const auto outcome = ritz(kTrain + "--operator learned --lr 1e30 --clip 0 --steps 200 --out run");
  EXPECT_EQ(outcome.code, 4) << outcome.err;
  EXPECT_TRUE(json("run/summary.json")["diverged_at"].is_number());
  EXPECT_TRUE(std::filesystem::exists(work() / "run/model.safetensors"));
}

TEST_F(KoopmanModel, RanksShareTheWork) {
  if (shell("command -v mpirun").code != 0) GTEST_SKIP() << "no mpirun";
  const auto outcome = shell(
      "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --oversubscribe -np 2 "
      "$RITZ " +
      kTrain + "--steps 10 --out run");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(json("run/summary.json")["ranks"], 2);
}

}  // namespace
