// without libtorch
// What every command promises: errors, exit codes, JSON, --config, help.
#include <algorithm>
#include <sstream>
#include <vector>

#include "tests/apps/program.h"

namespace {

class Frame : public ritz::tests::ProgramTest {
 protected:
  // The commands of the table, as the man page lists them.
  std::vector<std::string> commands() {
    std::istringstream page(ritz("completion man").out);
    std::vector<std::string> names;
    for (std::string line; std::getline(page, line);) {
      const std::string start = ".SS \"ritz ";
      if (line.compare(0, start.size(), start) != 0) continue;
      std::string name = line.substr(start.size(), line.rfind('"') - start.size());
      name.erase(std::remove(name.begin(), name.end(), '\\'), name.end());
      names.push_back(name);
    }
    return names;
  }
};

TEST_F(Frame, VersionAndHelpGoToStandardOutput) {
  EXPECT_EQ(ritz("--version").out.compare(0, 5, "ritz "), 0);
  const auto help = ritz("--help");
  EXPECT_EQ(help.code, 0);
  EXPECT_NE(help.out.find("study"), std::string::npos);
  EXPECT_EQ(help.err, "");
}

TEST_F(Frame, EveryCommandHasHelpWithAnExample) {
  const auto all = commands();
  ASSERT_FALSE(all.empty());
  for (const auto& name : all) {
    const auto help = ritz(name + " --help");
    EXPECT_EQ(help.code, 0) << name;
    EXPECT_NE(help.out.find("Usage: ritz " + name), std::string::npos) << name;
    const size_t example = help.out.find("Example:\n");
    ASSERT_NE(example, std::string::npos) << name;
    EXPECT_NE(help.out.find("ritz " + name, example), std::string::npos) << name;
    EXPECT_NE(help.out.find("--json FILE"), std::string::npos) << name;
    std::istringstream lines(help.out);
    for (std::string line; std::getline(lines, line);)
      EXPECT_LE(line.size(), 120u) << name << ": " << line;
  }
}

// In one folder: an example may read what the one of `train` wrote.
TEST_F(Frame, EveryExampleRunsAsPrinted) {
  auto all = commands();
  std::stable_partition(all.begin(), all.end(), [](const auto& name) { return name == "train"; });
  for (const auto& name : all) {
    const auto help = ritz(name + " --help").out;
    const std::string example = help.substr(help.find("Example:\n") + 9);
    const auto run = shell("ritz() { \"$RITZ\" \"$@\"; }; export -f ritz; " + example, "bash");
    EXPECT_EQ(run.code, 0) << name << ": " << example << "\n" << run.err;
  }
}

TEST_F(Frame, UsageErrorsAreOneLineAndExitTwo) {
  expect_error("", 2, "command: expected ");
  expect_error("nonsense", 2, "found 'nonsense'");
  expect_error("data", 2, "info");
  expect_error("data nonsense", 2, "found 'nonsense'");
  expect_error("study", 2, "SLUG");
  expect_error("study list extra", 2, "found 'extra'");
  expect_error("study list --bogus 3", 2, "found '--bogus'");
  expect_error("study list --scale", 2, "--scale: expected a value");
  expect_error("study list --scale=", 2, "--scale: expected a value, found ''");
  expect_error("study list --scale ''", 2, "--scale");
  expect_error("study list --scale huge", 2, "quick|desk|full");
  expect_error("study nothing-of-that-name", 2, "SLUG");
  expect_error("study list --json ''", 2, "--json");
  expect_error("study list --json out.json --out out.json", 2, "--json");
  expect_error("study list --device gpu", 2, "--device");
  expect_error("study list --dtype float16", 2, "--dtype");
}

TEST_F(Frame, NumbersAreReadWholeOrNotAtAll) {
  for (const char* bad : {"-1", "x", "1x", "1.5", "1e3", "' 1'", "nan", "99999999999999999999"}) {
    expect_error(std::string("study list --seed ") + bad, 2, "--seed: expected an integer");
  }
  for (const char* bad : {"0", "-3", "5000"}) {
    expect_error(std::string("study list --threads ") + bad, 2,
                 "--threads: expected a number >= 1");
  }
  expect_error("study list --seed 1 --seed 2", 2, "--seed: expected one value, found 2");
}

TEST_F(Frame, HeadOfJsonIsTheSameForEveryCommand) {
  const auto run = ritz("study list --seed 18446744073709551615 --threads 1 --json r.json");
  EXPECT_EQ(run.code, 0) << run.err;
  const auto json = this->json("r.json");
  EXPECT_EQ(json["command"], "study");
  EXPECT_TRUE(json["version"].is_string());
  EXPECT_EQ(json["seed"], 18446744073709551615ull);
  EXPECT_EQ(json["threads"], 1);
  EXPECT_GE(json["seconds"].get<double>(), 0);
  EXPECT_TRUE(json["inputs"].is_array());
  EXPECT_TRUE(json["warnings"].is_array());
}

TEST_F(Frame, JsonToDashIsAloneOnStandardOutput) {
  const auto run = ritz("study list --json -");
  EXPECT_EQ(nlohmann::json::parse(run.out)["command"], "study");
  EXPECT_EQ(run.err, "");
}

TEST_F(Frame, ExistingTargetsNeedForce) {
  write("r.json", "old");
  expect_error("study list --json r.json", 2, "r.json");
  EXPECT_EQ(ritz::tests::read_text(work() / "r.json"), "old");
  EXPECT_EQ(ritz("study list --json r.json --force").code, 0);
  EXPECT_EQ(json("r.json")["command"], "study");
  expect_error("study list --json missing/r.json", 3, "missing");
  expect_error("study list --json . --force", 3, "found a folder");
}

TEST_F(Frame, FullDiskIsTheMachinesFault) {
  const auto to_device = ritz("study list --json /dev/full --force");
  EXPECT_EQ(to_device.code, 1) << to_device.err;
  EXPECT_EQ(std::count(to_device.err.begin(), to_device.err.end(), '\n'), 1) << to_device.err;
  EXPECT_EQ(ritz("study list --json - >/dev/full").code, 1);
}

TEST_F(Frame, ConfigSaysWhatOptionsSay) {
  write("c.toml",
        "seed = 7      # top level: whatever command runs\n"
        "threads = 1\n"
        "[study]\n"
        "scale = \"desk\"\n"
        "quiet = true\n"
        "[data.info]\n"
        "seed = 9\n");
  EXPECT_EQ(ritz("study list --config c.toml --json a.json").code, 0);
  EXPECT_EQ(json("a.json")["seed"], 7);
  EXPECT_EQ(json("a.json")["threads"], 1);
  EXPECT_EQ(ritz("study list --seed 3 --config c.toml --json b.json").code, 0);
  EXPECT_EQ(json("b.json")["seed"], 3) << "the command line wins";
}

TEST_F(Frame, ConfigIsCheckedLikeTheCommandLine) {
  const auto expect_config_error = [this](const std::string& text, const std::string& part) {
    write("bad.toml", text);
    expect_error("study list --config bad.toml", 2, part);
  };
  expect_config_error("bogus = 1\n", "'bogus' (bad.toml, line 1)");
  expect_config_error("[study]\nbogus = 1\n", "line 2");
  expect_config_error("[nonsense]\nseed = 1\n", "[nonsense]");
  expect_config_error("[data.info]\nscale = \"desk\"\n", "'scale'");
  expect_config_error("seed = -1\n", "--seed");
  expect_config_error("seed = [1, 2]\n", "--seed: expected one value");
  expect_config_error("seed = abc\n", "line 1");
  expect_config_error("seed 3\n", "line 1");
  expect_config_error("seed = 1\nseed = 2\n", "line 2");
  expect_config_error("scale = \"desk\n", "closing quote");
  expect_config_error("config = \"other.toml\"\n", "'config'");
  expect_error("study list --config missing.toml", 3, "missing.toml");
  expect_error("study list --config .", 3, "found a folder");
}

TEST_F(Frame, ConfigReadsTomlsWaysToWriteAValue) {
  write("c.toml", "'seed' = 1_000\n\"scale\"='quick' # literal\n[ study ]\nforce = false\n\n");
  EXPECT_EQ(ritz("study list --config c.toml --json a.json").code, 0);
  EXPECT_EQ(json("a.json")["seed"], 1000);
  write("d.toml", "study.seed = 5\n");
  EXPECT_EQ(ritz("study list --config d.toml --json d.json").code, 0);
  EXPECT_EQ(json("d.json")["seed"], 5);
}

TEST_F(Frame, CompletionOffersCommandsOptionsAndChoices) {
  const auto complete = [this](const std::string& words, int at) {
    return shell("export RITZ; bash -c 'source <(\"$RITZ\" completion bash); COMP_WORDS=(" + words +
                 "); COMP_CWORD=" + std::to_string(at) + "; _ritz; echo ${COMPREPLY[@]}'")
        .out;
  };
  write("marker.csv", "1\n");
  EXPECT_EQ(complete("ritz stu", 1), "study\n");
  EXPECT_EQ(complete("ritz study --sc", 2), "--scale\n");
  EXPECT_EQ(complete("ritz study --scale d", 3), "desk\n");
  EXPECT_EQ(complete("ritz completion b", 2), "bash\n");
  EXPECT_EQ(complete("ritz data info mark", 3), "marker.csv\n");
}

TEST_F(Frame, HelpLoadsNoLibtorch) {
  const auto run = shell("LD_DEBUG=libs \"$RITZ\" study --help 2>&1 >/dev/null | grep -c libtorch");
  EXPECT_EQ(run.out, "0\n");
}

}  // namespace
