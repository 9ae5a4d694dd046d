// report.html: one page, no script, nothing fetched, light and dark, wide and narrow.
#include <algorithm>

#include "ritz/base/timer.h"
#include "ritz/base/version.h"
#include "studies/results.h"

namespace ritz::studies {
namespace {

constexpr const char* kStyle = R"css(
:root{color-scheme:light dark;--page:#fcfcfb;--card:#fff;--ink:#22272f;--soft:#5b6472;--line:#e3e6ea;
--good:#1f7a4a;--good-back:#e5f3ea;--bad:#a8323e;--bad-back:#fae9ea;--none:#6a5a1c;--none-back:#f6f0da}
@media (prefers-color-scheme:dark){:root{--page:#15181d;--card:#1b1f26;--ink:#dde1e8;--soft:#9aa3b1;
--line:#2c323c;--good:#7fd0a0;--good-back:#193427;--bad:#f3a0a6;--bad-back:#3d2024;--none:#e0cd85;--none-back:#352f19}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif}
main{max-width:60rem;margin:0 auto;padding:2.5rem 1.25rem 5rem}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 .4rem;letter-spacing:-.01em}
h2{font-size:1.45rem;line-height:1.25;margin:0 0 .3rem;letter-spacing:-.01em}
h3{font-size:1rem;margin:2rem 0 .6rem}
p{margin:.5rem 0}a{color:inherit;text-decoration-color:var(--soft);text-underline-offset:.15em}
.soft{color:var(--soft)}.small{font-size:.875rem}
section{margin-top:4rem;padding-top:2rem;border-top:1px solid var(--line)}
table{border-collapse:collapse;width:100%;margin:1.5rem 0 0;font-size:.95rem}
th{font-weight:600;text-align:left;color:var(--soft);font-size:.8rem}
th,td{padding:.55rem .8rem .55rem 0;border-bottom:1px solid var(--line);vertical-align:top}
td.number{font-variant-numeric:tabular-nums;white-space:nowrap}
.dots{display:flex;flex-wrap:wrap;gap:.3rem;list-style:none;margin:0;padding:0}
.dots a{text-decoration:none}
.tag{display:inline-block;border-radius:.35rem;padding:.05rem .5rem;font-size:.8rem;font-weight:600;white-space:nowrap}
.holds{color:var(--good);background:var(--good-back)}.fails{color:var(--bad);background:var(--bad-back)}
.below{color:var(--none);background:var(--none-back)}
.claim{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:1rem 1.15rem;margin:.8rem 0}
.claim header{display:flex;gap:.7rem;align-items:baseline;flex-wrap:wrap}
.claim header b{flex:1 1 16rem;font-weight:600}
.claim .id{font-variant-numeric:tabular-nums;color:var(--soft);font-size:.85rem}
dl{display:grid;grid-template-columns:7rem 1fr;gap:.25rem .9rem;margin:.7rem 0 0;font-size:.925rem}
dt{color:var(--soft)}dd{margin:0;min-width:0;overflow-wrap:anywhere}
.values{display:flex;flex-wrap:wrap;gap:.15rem 1.1rem;font-variant-numeric:tabular-nums}
.values span span{color:var(--soft)}
figure{margin:1.2rem 0;background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.8rem}
figure svg{display:block;width:100%;height:auto}
figcaption{color:var(--soft);font-size:.9rem;padding:.4rem .4rem .1rem}
code,pre{font:.86rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.8rem 1rem;overflow-x:auto;margin:.6rem 0}
footer{margin-top:4rem;color:var(--soft);font-size:.875rem}
@media (max-width:38rem){main{padding-top:1.5rem}dl{grid-template-columns:1fr;gap:0}dt{margin-top:.45rem;font-size:.8rem}
table.studies th:nth-child(n+3),table.studies td:nth-child(n+3){display:none}figure{padding:.3rem;margin-inline:-.6rem}}
@media (max-width:38rem){figure{overflow-x:auto}figure svg{min-width:27rem}}
@media print{section{break-before:page}.claim,figure{break-inside:avoid}}
)css";

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

const char* css_class(Verdict verdict) {
  return verdict == Verdict::holds ? "holds" : verdict == Verdict::fails ? "fails" : "below";
}

std::string anchor(const StudyRecord& record, const Claim& claim) {
  return escaped(record.study->slug + "-" + claim.id);
}

size_t holding(const StudyRecord& record) {
  const auto& claims = record.result.claims;
  return static_cast<size_t>(
      std::count_if(claims.begin(), claims.end(), [](const Claim& c) { return c.holds; }));
}

/// Why there are no claims.
std::string stopped_tag(const StudyRecord& record) {
  return record.unsupported ? "<span class=\"tag\">not at this scale</span>"
                            : "<span class=\"tag fails\">stopped</span>";
}

std::string overview_row(const StudyRecord& record) {
  std::string out = "<tr><td><a href=\"#" + escaped(record.study->slug) + "\">" +
                    escaped(record.study->title) + "</a></td><td>";
  if (!record.failure.empty()) {
    out += stopped_tag(record);
  } else {
    out += "<ul class=\"dots\">";
    for (const auto& claim : record.result.claims) {
      out += "<li><a class=\"tag " + std::string(css_class(verdict_of(claim, record.scale))) +
             "\" href=\"#" + anchor(record, claim) + "\" title=\"" +
             escaped(claim.claim + ": " + verdict_text(claim, record.scale)) + "\">" +
             escaped(claim.id) + "</a></li>";
    }
    out += "</ul>";
  }
  out += "</td><td class=\"number\">" + std::to_string(holding(record)) + " of " +
         std::to_string(record.result.claims.size()) + "</td><td class=\"number soft\">" +
         std::string(name_of(record.scale)) + ", " + duration_text(record.seconds) + "</td></tr>\n";
  return out;
}

std::string claim_card(const StudyRecord& record, const Claim& claim) {
  const std::string verdict = css_class(verdict_of(claim, record.scale));
  std::string out = "<article class=\"claim\" id=\"" + anchor(record, claim) +
                    "\"><header><span class=\"id\">" + escaped(claim.id) + "</span><b>" +
                    escaped(claim.claim) + "</b><span class=\"tag " + verdict + "\">" +
                    escaped(verdict_text(claim, record.scale)) + "</span></header>\n<dl>";
  const auto row = [&out](const char* name, const std::string& html) {
    if (!html.empty()) out += std::string("<dt>") + name + "</dt><dd>" + html + "</dd>";
  };
  row("criterion", escaped(claim.criterion));
  std::string values;
  for (const auto& [name, value] : claim.measured) {
    values +=
        "<span><span>" + escaped(name) + "</span> " + escaped(measured_text(value)) + "</span> ";
  }
  row("measured", values.empty() ? "" : "<div class=\"values\">" + values + "</div>");
  row("beside it", escaped(claim.baseline));
  row("note", escaped(claim.note));
  return out + "</dl></article>\n";
}

std::string section(const StudyRecord& record) {
  const Study& study = *record.study;
  std::string out = "<section id=\"" + escaped(study.slug) + "\"><h2>" + escaped(study.title) +
                    "</h2>\n<p>" + escaped(study.summary) + "</p>\n<p class=\"soft small\">" +
                    escaped(study.source) + "</p>\n";
  if (!record.failure.empty()) {
    out += "<p>" + stopped_tag(record) + ' ' + escaped(record.failure) + "</p>\n";
  }
  for (const auto& claim : record.result.claims) out += claim_card(record, claim);
  for (size_t i = 0; i < record.result.figures.size() && i < record.svgs.size(); ++i) {
    const std::string& svg = record.svgs[i];
    const size_t begin = std::min(svg.find("<svg"), svg.size());  // without the XML declaration
    out += "<figure>" + svg.substr(begin) + "<figcaption>" +
           escaped(record.result.figures[i].caption) + "</figcaption></figure>\n";
  }
  out += "<h3>Repeat it</h3>\n<pre>" + escaped(record.repeat) +
         "</pre>\n<p class=\"soft small\">It took " + duration_text(record.seconds) + " with " +
         std::to_string(record.threads) + (record.threads == 1 ? " thread" : " threads") +
         " and seed " + std::to_string(record.seed) + ".";
  if (!record.result.series.empty()) {
    out += " Raw numbers:";
    for (const auto& series : record.result.series)
      out += " <code>" + escaped(series.name) + ".csv</code>";
    out += ".";
  }
  return out + "</p></section>\n";
}

}  // namespace

std::string report_page(const std::vector<StudyRecord>& records) {
  size_t claims = 0, hold = 0;
  for (const auto& record : records) {
    claims += record.result.claims.size();
    hold += holding(record);
  }
  const std::string count =
      records.size() == 1 ? "one study" : std::to_string(records.size()) + " studies";
  std::string out =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width,initial-scale=1\"><title>ritz: published claims, "
      "re-measured</title><style>" +
      std::string(kStyle) +
      "</style></head><body><main>\n<h1>Published claims, re-measured</h1>\n<p class=\"soft\">" +
      std::to_string(hold) + " of " + std::to_string(claims) + " claims hold in " + count +
      ". Every threshold was fixed before the measurement; a claim that does not hold is shown as "
      "such.</p>\n"
      "<table class=\"studies\"><thead><tr><th>study</th><th>claims</th><th>hold</th><th>scale, "
      "time</th></tr>"
      "</thead><tbody>\n";
  for (const auto& record : records) out += overview_row(record);
  out +=
      "</tbody></table>\n<p class=\"soft small\"><span class=\"tag holds\">holds</span> the "
      "criterion is met. "
      "<span class=\"tag fails\">does not hold</span> it is not. <span class=\"tag below\">not "
      "seen</span> it is "
      "not, at a smaller scale than it is stated for. <span class=\"tag below\">not "
      "measured</span> "
      "its data were not there.</p>\n";
  for (const auto& record : records) out += section(record);
  return out + "<footer>Made by ritz " + std::string(version()) +
         ". This page is one file and fetches nothing.</footer>\n</main></body></html>\n";
}

}  // namespace ritz::studies
