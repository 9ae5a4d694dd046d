// without libtorch
// `ritz sequence train` and `predict` as a user meets them: files, modes, streams, exit codes.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <sstream>

#include "ritz/io/array_file.h"
#include "ritz/io/safetensors.h"
#include "tests/apps/program.h"

namespace {

using ritz::io::DType;

class Sequence : public ritz::tests::ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    // 40 waves of two channels; the class is the frequency.
    std::vector<float> x;
    std::vector<int64_t> y, lengths, ids;
    std::vector<double> targets;
    for (int i = 0; i < 40; ++i) {
      y.push_back(i % 3);
      lengths.push_back(5 + (7 * i) % 16);
      targets.push_back(0.5 * (i % 3));
      for (int t = 0; t < 20; ++t) {
        for (int c = 0; c < 2; ++c) {
          x.push_back(static_cast<float>(std::sin(0.4 * (1 + i % 3) * t + i + c)));
        }
        ids.push_back((i * t) % 7);
      }
    }
    save("x.npy", {40, 20, 2}, x, DType::float32);
    save("y.npy", {40}, y, DType::int64);
    save("l.npy", {40}, lengths, DType::int64);
    save("t.npy", {40}, targets, DType::float64);
    save("ids.npy", {40, 20}, ids, DType::int64);
    save(
        "pairs.npy", {20, 2},
        [&] {
          std::vector<int64_t> rows;
          for (int64_t i = 0; i < 20; ++i) rows.insert(rows.end(), {i, 39 - i});
          return rows;
        }(),
        DType::int64);
    y.resize(20);
    save("py.npy", {20}, y, DType::int64);
  }
  template <class T>
  void save(const std::string& name, const std::vector<int64_t>& shape,
            const std::vector<T>& values, DType dtype) const {
    auto array = ritz::io::make_array("", shape, dtype);
    std::memcpy(ritz::io::mutable_data(array), values.data(), array.bytes());
    ritz::io::write_arrays((work() / name).string(), {array}, {.force = true});
  }
  std::vector<double> load(const std::string& name, const std::vector<int64_t>& shape) const {
    const auto array = ritz::io::read_array((work() / name).string());
    EXPECT_EQ(array.shape, shape) << name;
    const auto n = static_cast<size_t>(array.count());
    if (array.dtype == DType::float64) {
      const auto* values = reinterpret_cast<const double*>(array.data);
      return {values, values + n};
    }
    const auto* values = reinterpret_cast<const float*>(array.data);
    return {values, values + n};
  }
  std::string contents(const std::string& name) const {
    return ritz::tests::read_text(work() / name);
  }
  std::string train(const std::string& model, const std::string& out,
                    const std::string& more = "") const {
    return "sequence train --data x.npy --labels y.npy --threads 1 --perturbation path --batch 10 "
           "--epochs 2 --model " +
           model + " --out " + out + " " + more;
  }
  static double distance(const std::vector<double>& a, const std::vector<double>& b) {
    EXPECT_EQ(a.size(), b.size());
    double most = 0;
    for (size_t k = 0; k < std::min(a.size(), b.size()); ++k)
      most = std::max(most, std::abs(a[k] - b[k]));
    return most;
  }
};

TEST_F(Sequence, EveryModelTrainsAndItsModesAgree) {
  const std::vector<std::pair<std::string, std::string>> models{{"s4", "convolution step"},
                                                                {"s5", "scan step"},
                                                                {"s4-ptd", "convolution scan step"},
                                                                {"gru", "step"}};
  for (const auto& [model, modes] : models) {
    const auto trained = ritz(train(model + ":2x4x6", model, "--lengths l.npy"));
    ASSERT_EQ(trained.code, 0) << trained.err;
    const std::string metadata =
        ritz::io::read_safetensors((work() / model / "model.safetensors").string())
            .metadata.at("model");
    EXPECT_EQ(metadata, model + ":2x4x6");
    const std::string predict = "sequence predict --checkpoint " + model +
                                "/model.safetensors --data x.npy --lengths l.npy ";
    ASSERT_EQ(ritz(predict + "--out P.npy --force --labels y.npy --json p.json").code, 0);
    const auto P = load("P.npy", {40, 3});
    EXPECT_NEAR(P[0] + P[1] + P[2], 1, 1e-6);
    EXPECT_EQ(json("p.json")["accuracy"], json(model + "/summary.json")["train_accuracy"]);
    for (const char* mode : {"convolution", "scan", "step"}) {
      const bool has = modes.find(mode) != std::string::npos;
      const auto outcome = ritz(predict + "--out Q.npy --force --mode " + mode);
      EXPECT_EQ(outcome.code, has ? 0 : 3) << model << " " << mode << " " << outcome.err;
      if (!has) continue;
      EXPECT_LT(distance(load("Q.npy", {40, 3}), P), 1e-5) << model << " " << mode;
    }
  }
}

TEST_F(Sequence, AStreamAnswersEachRowAtOnceAsTheWholeWould) {
  ASSERT_EQ(ritz(train("s5:1x4x6", "m", "--standardise --dtype float64")).code, 0);
  const auto x = load("x.npy", {40, 20, 2});
  std::ostringstream rows;
  rows.precision(17);
  rows << "left,right\n";
  for (int t = 0; t < 20; ++t) rows << x[2 * t] << "," << x[2 * t + 1] << "\n";
  rows << "\n";
  for (int t = 0; t < 20; ++t) rows << x[40 + 2 * t] << " " << x[41 + 2 * t] << "\r\n";
  write("rows.csv", rows.str());
  const auto answers = shell(
      "$RITZ sequence predict --checkpoint m/model.safetensors --data - --out S.npy < rows.csv");
  ASSERT_EQ(answers.code, 0) << answers.err;
  EXPECT_EQ(std::count(answers.out.begin(), answers.out.end(), '\n'), 40);
  ASSERT_EQ(ritz("sequence predict --checkpoint m/model.safetensors --data x.npy --out P.npy").code,
            0);
  const auto P = load("P.npy", {40, 3}), S = load("S.npy", {40, 3});
  for (int k = 0; k < 3; ++k) {
    EXPECT_NEAR(S[19 * 3 + k], P[k], 1e-11);
    EXPECT_NEAR(S[39 * 3 + k], P[3 + k], 1e-11);
  }
  // One row in, one answer out, while the pipe stays open: nothing waits for more rows.
  const auto talk = shell(
      "coproc \"$RITZ\" sequence predict --checkpoint m/model.safetensors --data -\n"
      "for k in 1 2 3; do echo 0.5,-0.5 >&\"${COPROC[1]}\"; read -t 60 -r answer "
      "<&\"${COPROC[0]}\" "
      "|| exit 9; echo \"$answer\"; done\n",
      "bash");
  EXPECT_EQ(talk.code, 0) << talk.err;
  EXPECT_EQ(std::count(talk.out.begin(), talk.out.end(), '\n'), 3);

  const auto bad = shell(
      "printf '1,2\\n1,2,3\\n' | $RITZ sequence predict --checkpoint m/model.safetensors --data -");
  EXPECT_EQ(bad.code, 3);
  EXPECT_NE(bad.err.find("2 numbers, found 3 numbers (standard input, row 1)"), std::string::npos)
      << bad.err;
}

TEST_F(Sequence, TokensPairsAndTargetsHaveTheirForms) {
  const std::string more = " --threads 1 --batch 10 --epochs 1 --model s4d:1x4x6 --out ";
  ASSERT_EQ(ritz("sequence train --data ids.npy --labels y.npy" + more + "tokens").code, 0);
  EXPECT_EQ(
      ritz("sequence predict --checkpoint tokens/model.safetensors --data ids.npy --out a.npy")
          .code,
      0);
  load("a.npy", {40, 3});
  const auto stream = shell(
      "printf '3\\n6\\n' | $RITZ sequence predict --checkpoint tokens/model.safetensors --data -");
  EXPECT_EQ(std::count(stream.out.begin(), stream.out.end(), '\n'), 2) << stream.err;
  EXPECT_EQ(
      shell("echo 7 | $RITZ sequence predict --checkpoint tokens/model.safetensors --data -").code,
      3);

  ASSERT_EQ(ritz("sequence train --data ids.npy --pairs pairs.npy --labels py.npy --lengths l.npy" +
                 more + "pairs")
                .code,
            0);
  EXPECT_EQ(
      ritz("sequence predict --checkpoint pairs/model.safetensors --data ids.npy --lengths l.npy "
           "--pairs pairs.npy --mode step --out b.npy")
          .code,
      0);
  load("b.npy", {20, 3});
  expect_error("sequence predict --checkpoint pairs/model.safetensors --data ids.npy", 3, "pairs");

  const auto numbers =
      ritz("sequence train --data x.npy --targets t.npy --test-data x.npy --test-targets t.npy" +
           more + "numbers");
  ASSERT_EQ(numbers.code, 0) << numbers.err;
  const auto summary = json("numbers/summary.json");
  EXPECT_EQ(summary["test_loss"], summary["train_loss"]);
  EXPECT_TRUE(summary["test_accuracy"].is_null());
  ASSERT_EQ(
      ritz("sequence predict --checkpoint numbers/model.safetensors --data x.npy --targets t.npy "
           "--out c.npy --json c.json")
          .code,
      0);
  load("c.npy", {40, 1});
  EXPECT_NEAR(json("c.json")["mse"].get<double>(), summary["train_loss"].get<double>(), 1e-5);
}

TEST_F(Sequence, ResumesBitForBitWithDropoutAndBatchNorm) {
  const auto line = [](const std::string& out, const std::string& rest) {
    return "sequence train --data x.npy --labels y.npy --threads 1 --batch 10 --model s4d:2x4x6 "
           "--steps 30 --dropout 0.3 --norm batch --schedule cosine:5 --out " +
           out + " " + rest;
  };
  ASSERT_EQ(ritz(line("whole", "")).code, 0);
  // Stopped by a signal as soon as its first checkpoint is there, or done by then: both must end
  // alike.
  ASSERT_EQ(
      shell("$RITZ " + line("parts", "--checkpoint-every 3") +
            " & pid=$!; while ! [ -e parts/checkpoint.safetensors ]; do kill -0 $pid || break; "
            "done; kill -TERM $pid; wait $pid; [ $? = 130 ] || [ $? = 0 ]")
          .code,
      0);
  ASSERT_EQ(ritz(line("parts", "--checkpoint-every 3 --resume")).code, 0);
  EXPECT_EQ(contents("whole/model.safetensors"), contents("parts/model.safetensors"));
  const std::string log = contents("parts/log.csv");
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 31);
}

TEST_F(Sequence, TrainsOnFromAModelAndKeepsItsForm) {
  ASSERT_EQ(ritz(train("s4-ptd:1x4x6", "a", "--norm none --freeze A,dt --standardise")).code, 0);
  const auto on = ritz(
      "sequence train --checkpoint a/model.safetensors --data x.npy --labels y.npy "
      "--batch 10 --epochs 1 --out b");
  ASSERT_EQ(on.code, 0) << on.err;
  const auto before = ritz::io::read_safetensors((work() / "a/model.safetensors").string());
  const auto after = ritz::io::read_safetensors((work() / "b/model.safetensors").string());
  EXPECT_EQ(before.metadata, after.metadata);
  for (size_t k = 0; k < before.arrays.size(); ++k) {
    const auto &a = before.arrays[k], &b = after.arrays[k];
    ASSERT_EQ(a.name, b.name);
    const bool same = std::memcmp(a.data, b.data, a.bytes()) == 0;
    const bool frozen = a.name.ends_with("A_real") || a.name.ends_with("A_imag") ||
                        a.name.ends_with("log_dt") || a.name.ends_with("weights");
    EXPECT_EQ(same, frozen) << a.name;
  }
}

TEST_F(Sequence, ErrorsSayWhatAndWhere) {
  ASSERT_EQ(ritz(train("s4:1x4x6", "m")).code, 0);
  ASSERT_EQ(ritz(train("s4d:1x4x6", "both", "--bidirectional")).code, 0);
  const std::string predict = "sequence predict --data x.npy --checkpoint ";
  EXPECT_NE(ritz(predict + "both/model.safetensors --mode step").err.find("bidirectional"),
            std::string::npos);
  EXPECT_EQ(ritz(predict + "both/model.safetensors --mode step").code, 3);
  EXPECT_EQ(
      shell("echo 1,2 | $RITZ sequence predict --checkpoint both/model.safetensors --data -").code,
      3);
  EXPECT_EQ(ritz(predict + "both/model.safetensors --mode scan").code, 0);

  save("zero.npy", {40}, std::vector<int64_t>(40, 0), DType::int64);
  save("wide.npy", {40, 20, 3}, std::vector<float>(2400, 1), DType::float32);
  save("none.npy", {40, 0, 2}, std::vector<float>{}, DType::float32);
  write("other.csv", "1,2\n");
  expect_error(predict + "m/model.safetensors --lengths zero.npy", 3,
               "lengths from 1 to the 20 steps");
  expect_error("sequence predict --data wide.npy --checkpoint m/model.safetensors", 3,
               "2 channels");
  expect_error("sequence predict --data none.npy --checkpoint m/model.safetensors", 3, "none.npy");
  expect_error(predict + "other.csv", 3, "other.csv");
  expect_error(predict + "m/model.safetensors --mode walk", 2, "convolution|scan|step");
  expect_error("sequence predict --data - --mode scan --checkpoint m/model.safetensors", 2,
               "--mode");
  expect_error("sequence predict --data - --lengths l.npy --checkpoint m/model.safetensors", 2,
               "--data");
  // A model of another kind.
  save("flat.npy", {40, 6}, std::vector<float>(240, 1), DType::float32);
  ASSERT_EQ(
      ritz("train --model mlp:6-3 --data flat.npy --labels y.npy --steps 1 --batch 10 --out mlp")
          .code,
      0);
  expect_error(predict + "mlp/model.safetensors", 3, "sequence model");

  expect_error(train("s6:1x4x6", "e"), 2, "LAYERSxWIDTHxSTATES");
  expect_error(train("s4:1x4x6", "e", "--discretisation zoh"), 3, "bilinear");
  expect_error(train("s4d:1x4x6", "e", "--dt-min 0"), 2, "--dt-min");
  expect_error(train("s4d:1x4x6", "e", "--dt-min 1"), 2, "--dt-min");
  expect_error(train("s5:1x4x6", "e", "--blocks 4"), 3, "blocks");
  expect_error(train("s4d:1x4x6", "e", "--classes 2"), 3, "labels from 0 to 1");
  expect_error(train("s4d:1x4x6", "e", "--optimizer sgd --ssm-lr 1"), 2, "--optimizer adamw");
  expect_error(train("s4-ptd:1x4x6", "e", "--perturbation magic"), 2, "--perturbation");
  expect_error(train("s4d:1x4x6", "e", "--targets t.npy"), 2, "--targets");
  expect_error(train("s4d:1x4x6", "e", "--test-data x.npy"), 2, "--test-data");
  EXPECT_EQ(ritz(train("s4d:1x4x6", "m")).code, 2);  // a run is there
  EXPECT_EQ(ritz(train("s4d:1x4x6", "d", "--lr 1e38")).code, 4);
  EXPECT_TRUE(std::filesystem::exists(work() / "d/model.safetensors"));
}

}  // namespace
