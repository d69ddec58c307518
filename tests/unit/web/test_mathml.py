"""TeX becomes MathML that browsers draw, in time, or stays source."""

from __future__ import annotations

import re
import time
from xml.etree.ElementTree import fromstring

import pytest

from clawgate.web.pages.budget import Budget
from clawgate.web.pages.formulas import MAX_FORMULA
from clawgate.web.pages.mathml import mathml_of
from clawgate.web.pages.sanitiser import ATTRIBUTES, CLEANER, TAGS

LONGEST_STEP_S = 0.3
WRITTEN = [
    *(r"E = mc^2", r"a_1, a_2, \dots, a_n", r"x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}", r"S_{阴影} = \pi r^2"),
    *(r"\sum_{i=1}^{n} i = \frac{n(n+1)}{2}", r"\int_0^\infty e^{-x^2} \, dx", r"\prod_{k=1}^{n} k = n!"),
    *(r"\lim_{x \to 0} \frac{\sin x}{x} = 1", r"\text{速度} = \frac{\text{路程}}{\text{时间}}", r"\boxed{42}"),
    *(
        r"\boxed{\text{答案：} x = \frac{1}{2}}",
        r"f(x) = x^2 \tag{1}",
        r"a = b \tag*{甲}",
        r"\mathbb{R}, \mathbb{E}[X]",
    ),
    *(r"\mathcal{L}, \mathcal{O}(n \log n), \mathfrak{g}", r"\mathbf{Ax} = \mathbf{b}, \boldsymbol{\theta}"),
    *(r"\mathrm{d}x, \mathsf{A}, \mathtt{code}", r"\operatorname{softmax}(x_i)", r"\operatorname*{argmax}_{\theta} L"),
    *(r"\arg\max_{x} f(x), \log_2 n, \det A", r"\left( \frac{a}{b} \right)^n", r"\left. \frac{dy}{dx} \right|_{x=0}"),
    *(r"\left\{ x \in \mathbb{R} \mid x > 0 \right\}", r"\left\| x \right\|_2, \lVert x \rVert, |x|, \|x\|"),
    *(r"\begin{pmatrix} a & b \\ c & d \end{pmatrix}", r"\begin{bmatrix} 1 & 0 \\ 0 & 1 \end{bmatrix}"),
    *(
        r"\left[\begin{array}{cc|c} 1 & 2 & 3 \end{array}\right]",
        r"\begin{array}{c|c} x & y \\ \hline 1 & 2 \end{array}",
    ),
    *(r"\begin{cases} x^2, & x \ge 0 \\ -x, & \text{否则} \end{cases}", r"\begin{dcases} 1 & a \\ 2 & b \end{dcases}"),
    *(r"\begin{aligned} a &= b \\ &= c \end{aligned}", r"\begin{gathered} a = b \\ c = d \end{gathered}"),
    *(r"\begin{aligned}[t] a &= 1 \\[4pt] b &= 2 \end{aligned}", r"\begin{alignat}{2} a &= 1 & b &= 2 \end{alignat}"),
    *(r"\begin{multline} a \\ + b \end{multline}", r"\begin{split} a &= b \\ &= c \end{split}", r"a = b \\ c = d"),
    *(r"\begin{equation} a = b \label{x} \end{equation}", r"\begin{align} a &= b \nonumber \\ c &= d \end{align}"),
    *(r"\begin{vmatrix} a & b \\ c & d \end{vmatrix}", r"\begin{smallmatrix} a & b \end{smallmatrix}"),
    *(r"\xrightarrow{\text{加热}} B", r"A \xrightarrow[T]{n\to\infty} B", r"\overset{*}{=} \underset{x}{\min}"),
    *(r"\underbrace{1 + \cdots + 1}_{n}, \overbrace{a+b}^{c}", r"\overline{AB}, \vec{v}, \hat{y}, \tilde{x}, \bar{x}"),
    *(r"\binom{n}{k}, \dbinom{n}{k}", r"\nabla \cdot \mathbf{E} = \frac{\rho}{\varepsilon_0}", r"\oint_C, \iint_D"),
    *(r"\forall x \in A, \exists y \notin B : x \neq y", r"A \subseteq B \cup C \setminus E, \emptyset"),
    *(r"p \Rightarrow q \iff \neg q \implies \neg p, \therefore, \because", r"90^\circ, \angle ABC, \triangle ABC"),
    *(r"50\%, \$5, a \& b, \#1", r"\cancel{x} + \xcancel{z}", r"\color{red}{x} + \textcolor{blue}{y}"),
    *(r"\sqrt[3]{x}, \sqrt{1+\sqrt{2}}", r"\cfrac{1}{1+\cfrac{1}{x}}, \dfrac{1}{2}, \tfrac12", r"a \equiv b \pmod{n}"),
    *(r"\Pr(X=k) = p^k(1-p)^{n-k}", r"\text{softmax}\left(\frac{QK^T}{\sqrt{d_k}}\right)V", r"x'^2, f''(x), f'(x)"),
    *(r"\frac{\partial L}{\partial w_{ij}^{(l)}}", r"\langle \psi | \phi \rangle, \lfloor x \rfloor, \lceil x \rceil"),
    *(r"\bigl( \frac{a}{b} \bigr), \Bigg[ x \Bigg]", r"O(n^2) \ll O(2^n) \approx \infty, \pm\infty, \sim, \perp"),
    *(r"\mathop{\arg\min}_{\theta}, \limsup_{n\to\infty}", r"a\quad b\qquad c\, d\; e\! f\ g~h", r"x \not= y, \not\in"),
    *(r"\text{if } x > 0 \text{ then\_ok 100\%}", r"\mathbf{W}^\top \mathbf{x}, A^{-1}, x^*, \ell, \hbar"),
    *(
        r"\sum_{\substack{i<j \\ k}} x",
        r"\dots, \cdots, \vdots, \ddots",
        r"1{,}000 \approx 10^6, 3.14",
        r"|\psi\rangle",
    ),
    *(
        r"\ce{2H2 + O2 -> 2H2O}",
        r"\ce{SO4^2-}",
        r"\ce{CH3COOH <=> CH3COO- + H+}",
        r"\ce{Zn + 2HCl ->[加热] ZnCl2 + H2 ^}",
    ),
    *(r"a:b = c:d, f: X \to Y, x \mapsto x^2", r"\displaystyle\sum_{k=0}^{\infty} \frac{x^k}{k!} % a comment"),
]
"""Formulas as models write them. Each was looked at in Chromium, with and without a mathematical font."""


def drawn(tex: str, is_display: bool = True) -> str:
    html = mathml_of(tex, is_display, Budget(60))
    assert html is not None, tex
    return html


@pytest.mark.parametrize("tex", WRITTEN)
def test_formulas_of_models_are_drawn_with_what_browsers_know(tex: str) -> None:
    assert len(WRITTEN) > 60
    for is_display in (True, False):
        html = drawn(tex, is_display)
        root = fromstring(html)
        assert root.get("alttext") == tex
        assert not [each.text for each in root.iter() if (each.text or "")[:1] == "\\" or "&#" in (each.text or "")]
        for element in root.iter():
            assert element.tag in TAGS, tex
            assert set(element.attrib) <= ATTRIBUTES.get(element.tag, set()), (tex, element.tag, element.attrib)
            assert not (element.tag in ("mo", "mi") and len(element)), tex
        assert CLEANER.clean(html).count("<") == html.count("<"), "nothing of it is filtered"


@pytest.mark.parametrize(
    ("tex", "part"),
    [
        (r"\mathbb{AB}", "<mi>𝔸</mi><mi>𝔹</mi>"),
        (r"\mathbb{C}", "ℂ"),
        (r"\mathbf{Ax}", "𝐀"),
        (r"\mathcal{L}", "ℒ"),
        (r"\boldsymbol{\theta}", "𝜽"),
        (r"\mathrm{d}x", '<mi mathvariant="normal">d</mi>'),
        (r"\Delta", '<mi mathvariant="normal">Δ</mi>'),
        (r"a \pm b", "<mo>±</mo>"),
        (r"\infty", "<mi>∞</mi>"),
        (r"2\sin x", '<mn>2</mn><mspace width="0.167em"></mspace><mi>sin</mi><mspace width="0.167em"></mspace>'),
        (r"\sin(x)", "<mi>sin</mi><mo"),
        (r"\max_x", "<munder><mi>max</mi>"),
        (r"\operatorname*{argmax}_x", "<munder><mi>argmax</mi>"),
        (r"\bigcup_i A", "<munder><mo>⋃</mo>"),
        (r"\boxed{x}", '<mrow class="boxed">'),
        (r"\tag{1}", "(1)"),
        (r"\text{a\_b}", "<mtext>a_b</mtext>"),
        (r"\text{a b}", "a\u00a0b"),
        (r"\text{&lt;<b>&#x3c;}", "&amp;lt;&lt;b&gt;&lt;"),
        (r"\langle", '<mo stretchy="false">⟨</mo>'),
        (r"\begin{align}a&=b\end{align}", '<mtd class="right">'),
        (r"\begin{array}{c|c}a&b\end{array}", '<mtd class="center barred">'),
        (r"\ce{H2O}", '<msub><mrow><mi mathvariant="normal">H</mi></mrow><mrow><mn>2</mn></mrow></msub>'),
    ],
)
def test_a_command_is_drawn_as_tex_means_it(tex: str, part: str) -> None:
    assert part in drawn(tex)


@pytest.mark.parametrize(
    "tex",
    [
        *(
            r"\unknown{x}",
            r"\frac{a}",
            "{",
            "}",
            r"\left(",
            r"\begin{foo}x\end{foo}",
            r"\begin{matrix}",
            "a_b_c",
            r"\hline",
        ),
        *(r"\newcommand{\a}{b}\a", r"\def\a{b}\a", r"\href{javascript:alert(1)}{x}", r"\style{color:red}{x}"),
        *(r"\class{a}{x}", r"\sideset{_a}{_b}\sum", r"\unicode{x3c}", "{" * 41 + "}" * 41, r"\hat" * 200 + "x"),
    ],
)
def test_what_cannot_be_drawn_or_must_not_is_none(tex: str) -> None:
    assert mathml_of(tex, True, Budget(60)) is None


def test_a_formula_looks_at_its_budget_and_leaves_time_for_what_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    monkeypatch.setattr(Budget, "check", lambda _self, kept_s=0.0: looks.append(kept_s))
    assert mathml_of("{a}" * 100, True, Budget(60))
    assert len(looks) > 100
    assert min(looks) > 0.1
    monkeypatch.undo()
    assert mathml_of("a", True, Budget(0.1)) is None


UNITS = [
    *("{", "}", "{}", r"\frac", r"\frac{", "^", "_", "x^{", r"\begin{matrix}", r"\begin{matrix}a&", "a&", "&", r"\\"),
    *(r"\hat", r"\sqrt[", r"\left(", r"\not", "'", "x'", r"\text{", r"\mathbb{AB}", r"\displaystyle", r"\over ", r"\%"),
    *(r"\color{red}", r"\textcolor{red}{", r"\xrightarrow[", r"\sum\limits_a^b", r"\substack{a\\ b}", r"\ce{A2}", "1."),
    *(r"\ce{", r"\operatorname{ ", r"\begin{array}{c|c}a&b\\", r"\matrix{a&b\\}", r"\bf x", r"\skew3", "-1 e", r"\|"),
    *(
        r"\tag{1}",
        r"\label{",
        r"\begin{aligned}[t]",
        r"\xLeftrightarrow{a}",
        r"\brace",
        r"\bra{",
        "a b",
        "中",
        "<",
        "\n",
    ),
]


@pytest.mark.parametrize("unit", UNITS)
def test_no_formula_takes_long_or_fails(unit: str) -> None:
    for text in (unit * MAX_FORMULA)[:MAX_FORMULA], unit * 39 + "}" * unit.count("{") * 39:
        began = time.thread_time()
        html = mathml_of(text, True, Budget(60)) or ""
        assert time.thread_time() - began < LONGEST_STEP_S
        assert len(html) < 40 * MAX_FORMULA
        assert not re.search(r"<(?!/?(?:m[a-z]+)[ >])", html)
