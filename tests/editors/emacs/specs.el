;;; specs.el --- Eglot against a real server process  -*- lexical-binding: t; -*-

;; Run by test_emacs.py: emacs --batch -q -l specs.el, in an environment that names the repository, a home
;; directory, the server's program, and the file that each outcome goes to as one JSON line.

;;; Code:

(require 'package)
(package-initialize)
(setq load-prefer-newer t)
(add-to-list 'load-path (expand-file-name "editors/emacs" (getenv "ASTRAL_TEST_REPOSITORY")))
(require 'eglot)
(require 'ert)
(require 'flymake)
(require 'astral-lsp)

(setq eglot-events-buffer-size 0
      eglot-autoshutdown nil
      eglot-sync-connect 20
      make-backup-files nil
      create-lockfiles nil
      python-indent-guess-indent-offset nil)

(defvar jrpc-default-request-timeout)
(defvar specs-home (file-name-as-directory (getenv "ASTRAL_TEST_HOME")))
(defvar specs-server (split-string (getenv "ASTRAL_TEST_SERVER") "\t"))
(defvar specs-count 0)
(defvar specs-messages nil "What the person was told, latest first.")
(advice-add 'message :before
            (lambda (form &rest arguments)
              (when form (push (apply #'format-message form arguments) specs-messages))))

(defun specs-wait (seconds condition)
  "Wait until CONDITION holds; fail after SECONDS."
  (let ((end (+ (float-time) seconds)) value)
    (while (not (or (setq value (funcall condition)) (> (float-time) end)))
      (accept-process-output nil 0.05))
    (unless value
      (ert-fail (format "not within %s s; said: %s" seconds (seq-take specs-messages 8))))
    value))

(defun specs-said (text)
  "Wait until a message contains TEXT."
  (specs-wait 10 (lambda () (seq-some (lambda (m) (string-search text m)) specs-messages))))

(defmacro specs-with (text class &rest body)
  "Run BODY in a Python buffer of TEXT, point where it has $0, connected through CLASS.
Buffers of one class share a project, and so a server."
  (declare (indent 2))
  `(let* ((directory (format "%s%s/" specs-home ',class))
          (file (format "%smodule_%d.py" directory (cl-incf specs-count)))
          (eglot-server-programs `((python-mode . ,(,class)))))
     (setq specs-messages nil)
     (make-directory (concat directory ".git") t)
     (with-temp-file file (insert (replace-regexp-in-string "\\$0" "" ,text nil t)))
     (with-current-buffer (find-file-noselect file)
       (unwind-protect
           (progn
             (goto-char (1+ (string-search "$0" ,text)))
             (unless (eglot-current-server)
               (apply #'eglot--connect (eglot--guess-contact)))
             (specs-wait 20 (lambda () (and (eglot-current-server) (eglot-managed-p))))
             ,@body)
         (set-buffer-modified-p nil)
         (kill-buffer)))))

(defun specs-plain ()
  "Eglot's own way to name a server, as docs/editors.md has it."
  `(,@specs-server :initializationOptions (:trusted t)))

(defun specs-ours ()
  "The class of astral-lsp.el."
  `(astral-lsp-server ,@specs-server))

(defmacro specs-choosing (choice &rest body)
  "Run BODY with every question answered: CHOICE picks among completions by its text."
  (declare (indent 1))
  `(cl-letf (((symbol-function 'completing-read)
              (lambda (_prompt table &rest _)
                (specs-wait 5 (lambda ()
                                (seq-find (lambda (row) (string-search ,choice row))
                                          (all-completions "" table))))))
             ((symbol-function 'y-or-n-p) (lambda (&rest _) t))
             (last-nonmenu-event ?\r))
     ,@body))

(defconst specs-area "def area(width: int, height: int) -> int:\n    return ..$0.  # fill: width * height\n")

;;; Eglot alone

(ert-deftest eglot-connects-and-shows-the-expected-type ()
  (specs-with specs-area specs-plain
    (flymake-mode 1)
    (let ((diagnostic (specs-wait 15 (lambda ()
                                       (flymake-start)
                                       (car (flymake-diagnostics))))))
      (specs-wait 15 (lambda ()
                       (flymake-start)
                       (setq diagnostic (car (flymake-diagnostics)))
                       (and diagnostic (string-search "expected" (flymake-diagnostic-text diagnostic)))))
      (should (string-search "Hole: expected `int`" (flymake-diagnostic-text diagnostic)))
      (should (equal "..." (buffer-substring (flymake-diagnostic-beg diagnostic)
                                             (flymake-diagnostic-end diagnostic)))))))

(ert-deftest a-code-action-fills-the-hole-within-the-timeout ()
  (specs-with specs-area specs-plain
    (let ((began (float-time)))
      (specs-choosing "Fill hole"
        (eglot-code-actions (point) (point) nil t))
      (specs-wait 10 (lambda () (string-search "return width * height" (buffer-string))))
      (should (< (- (float-time) began) jrpc-default-request-timeout)))))

(ert-deftest documentation-at-point-has-the-context-of-the-hole-read-ahead ()
  (specs-with specs-area specs-plain
    (let (shown)
      (eglot-hover-eldoc-function (lambda (&rest information) (setq shown information)))
      (specs-wait 10 (lambda () shown))
      (should (string-search "fill: width * height" (substring-no-properties (car shown)))))
    (specs-wait 10 (lambda ()
                     (with-temp-buffer
                       (insert-file-contents (expand-file-name "engine.log" specs-home))
                       (re-search-forward "\"event\": \"read_ahead\"" nil t))))))

(ert-deftest known-fills-are-listed-with-verdicts-and-applied-without-computing ()
  (specs-with specs-area specs-plain
    (specs-choosing "Fill hole"
      (eglot-code-actions (point) (point) nil t))
    (specs-wait 10 (lambda () (string-search "return width * height" (buffer-string))))
    (goto-char (point-min))
    (search-forward "return width * height")
    (replace-match "return ...")
    (eglot--signal-textDocument/didChange)
    (let ((actions (eglot-code-actions (1- (point)) (1- (point)))))
      (should (equal "Fill hole: `width * height` · types ✓ · tests ✓ 3"
                     (plist-get (car actions) :title)))
      (should (eq t (plist-get (car actions) :isPreferred)))
      (should (plist-get (car actions) :edit))
      (specs-choosing "second_1"
        (eglot-code-actions (1- (point)) (1- (point)) nil t))
      (should (string-search "return second_1" (buffer-string))))))

(ert-deftest hover-answers-on-a-hole ()
  (specs-with specs-area specs-plain
    (let ((answer (jsonrpc-request (eglot-current-server) :textDocument/hover
                                   (eglot--TextDocumentPositionParams))))
      (should (string-search "Hole" (plist-get (plist-get answer :contents) :value))))))

(ert-deftest settings-reach-the-server-and-change-without-a-restart ()
  (specs-with specs-area specs-plain
    (flymake-mode 1)
    (specs-wait 15 (lambda () (flymake-start) (flymake-diagnostics)))
    (unwind-protect
        (progn
          (setq-default eglot-workspace-configuration '(:astral-lsp (:diagnostics :json-false)))
          (eglot-signal-didChangeConfiguration (eglot-current-server))
          (specs-wait 15 (lambda () (flymake-start) (not (flymake-diagnostics)))))
      (setq-default eglot-workspace-configuration nil)
      (eglot-signal-didChangeConfiguration (eglot-current-server)))
    (specs-wait 15 (lambda () (flymake-start) (flymake-diagnostics)))))

(ert-deftest astral-plane-text-before-a-hole ()
  (specs-with "name = \"𝒳🎉é\"; value: int = .$0..  # fill: len(\"🎉\")\n" specs-plain
    (specs-choosing "Fill hole"
      (eglot-code-actions (point) (point) nil t))
    (specs-wait 10 (lambda () (string-search "𝒳🎉é\"; value: int = len(\"🎉\")  #" (buffer-string))))))

;;; With astral-lsp.el

(ert-deftest fill-lets-the-person-choose ()
  (specs-with specs-area specs-ours
    (specs-choosing "second_1"
      (astral-lsp-fill)
      (specs-wait 10 (lambda () (string-search "return second_1" (buffer-string)))))
    (specs-said "types ✓ · tests –")
    (should (looking-back "return second_1" (line-beginning-position)))))

(defmacro specs-answering (function &rest body)
  "Run BODY; a question about fills is answered by FUNCTION, which gets the live completion table."
  (declare (indent 1))
  `(cl-letf (((symbol-function 'completing-read)
              (lambda (specs--prompt specs--table &rest _) (funcall ,function specs--prompt specs--table))))
     ,@body))

(ert-deftest the-list-opens-with-the-first-and-others-join-it ()
  (specs-with specs-area specs-ours
    (let (prompt rows marks)
      (specs-answering (lambda (asked table)
                         (setq prompt asked rows (list (all-completions "" table)))
                         (specs-wait 10 (lambda () (= 4 (length (all-completions "" table)))))
                         (push (all-completions "" table) rows)
                         (setq marks (completion-metadata-get (completion-metadata "" table nil)
                                                              'annotation-function))
                         (setq marks (funcall marks (cadr (car rows))))
                         (cadr (car rows)))
        (astral-lsp-fill)
        (specs-wait 10 (lambda () (string-search "return second_1" (buffer-string)))))
      (should (string-search "more are being drawn" prompt))
      (should (equal '("1  width * height") (cadr rows)))
      (should (equal '("1  width * height" "2  second_1" "3  'third_1'" "4  fourth_1") (car rows)))
      (should (string-search "types ✓ · tests –" marks)))))

(ert-deftest one-that-is-taken-early-ends-the-run-without-a-word ()
  (specs-with specs-area specs-ours
    (specs-answering (lambda (_ table) (car (all-completions "" table)))
      (astral-lsp-fill)
      (specs-wait 10 (lambda () (string-search "return width * height" (buffer-string)))))
    (specs-wait 10 (lambda () (not astral-lsp--runs)))
    (should-not (seq-some (lambda (m) (string-search "ancel" m)) specs-messages))))

(ert-deftest leaving-the-list-cancels-and-changes-nothing ()
  (specs-with specs-area specs-ours
    (let (asked)
      (specs-answering (lambda (&rest _) (setq asked t) (signal 'quit nil))
        (astral-lsp-fill)
        (condition-case nil (specs-wait 10 (lambda () asked)) (quit nil))
        (specs-wait 10 (lambda () (not astral-lsp--runs))))
      (should (string-search "return ..." (buffer-string))))))

(ert-deftest fill-with-prefix-inserts-the-best ()
  (specs-with specs-area specs-ours
    (astral-lsp-fill t)
    (specs-wait 10 (lambda () (string-search "return width * height" (buffer-string))))))

(ert-deftest typing-meanwhile-moves-the-fill-along ()
  (specs-with specs-area specs-ours
    (astral-lsp-fill t)
    (goto-char (point-min))
    (insert "import os  # 🎉\n\n")
    (specs-wait 10 (lambda () (string-search "return width * height" (buffer-string))))
    (should (string-prefix-p "import os  # 🎉\n\ndef area" (buffer-string)))))

(ert-deftest a-place-without-a-hole-is-explained ()
  (specs-with "x = 1$0\n" specs-ours
    (astral-lsp-fill)
    (specs-said "there is no hole here")
    (should (equal "x = 1\n" (buffer-string)))))

(ert-deftest fill-function-fills-all ()
  (specs-with "def both(a: int) -> int:\n    x = ...  # fill: a + 1\n    return .$0..  # fill: x * 2\n" specs-ours
    (astral-lsp-fill-function)
    (specs-wait 15 (lambda () (string-search "return x * 2" (buffer-string))))
    (should (string-search "x = a + 1" (buffer-string)))
    (specs-said "filled 2 of 2 holes")))

(ert-deftest refine-keeps-one-level ()
  (specs-with "def least(a: int, b: int) -> int:\n    return .$0..  # fill: min(abs(a), abs(b))\n" specs-ours
    (astral-lsp-refine)
    (specs-wait 10 (lambda () (string-search "return min(..., ...)" (buffer-string))))))

(ert-deftest next-and-previous-go-round ()
  (specs-with "a: int = .$0..\nb: int = ...\n" specs-ours
    (astral-lsp-next-hole)
    (specs-wait 10 (lambda () (= 2 (line-number-at-pos))))
    (astral-lsp-next-hole)
    (specs-wait 10 (lambda () (= 1 (line-number-at-pos))))
    (astral-lsp-previous-hole)
    (specs-wait 10 (lambda () (= 2 (line-number-at-pos))))
    (should (looking-at-p "\\.\\.\\."))))

(ert-deftest explain-shows-the-reasons ()
  (specs-with specs-area specs-ours
    (let ((done nil))
      (specs-choosing "nothing like it"
        (astral-lsp--command "fillHole" (append (astral-lsp--here) '(:apply :json-false))
                             (lambda (_) (setq done t)))
        (specs-wait 10 (lambda () done))))
    (astral-lsp-explain)
    (specs-wait 10 (lambda () (get-buffer "*astral-lsp candidates*")))
    (with-current-buffer "*astral-lsp candidates*"
      (should (string-search "Incompatible types" (buffer-string)))
      (should (string-search "assert 3 == 4" (buffer-string))))))

(ert-deftest status-and-trust ()
  (specs-with specs-area specs-ours
    (specs-wait 15 (lambda () (string-search "untrusted" (astral-lsp-status))))
    (cl-letf (((symbol-function 'yes-or-no-p) (lambda (&rest _) t)))
      (astral-lsp-trust))
    (specs-said "astral-lsp: trusted")
    (specs-wait 10 (lambda () (equal "astral: idle" (astral-lsp-status))))))

(ert-deftest a-stale-edit-is-refused-with-the-reason ()
  (specs-with specs-area specs-ours
    (let* ((version (plist-get (eglot--VersionedTextDocumentIdentifier) :version))
           (identifier `(:uri ,(plist-get (eglot--TextDocumentIdentifier) :uri) :version ,(1- version)))
           (range '(:start (:line 1 :character 11) :end (:line 1 :character 14)))
           (edit `(:documentChanges [(:textDocument ,identifier :edits [(:range ,range :newText "0")])]))
           (answer (eglot-handle-request (eglot-current-server) 'workspace/applyEdit :edit edit)))
      (should (eq :json-false (plist-get answer :applied)))
      (should (string-search "version" (plist-get answer :failureReason)))
      (should (string-search "return ..." (buffer-string))))))

;;; Outcomes

(defun specs-run ()
  "Run every test and write one JSON line for each."
  (with-temp-file (getenv "ASTRAL_TEST_OUTPUT")
    (dolist (test (ert-select-tests t t))
      (let* ((began (float-time))
             (result (ert-run-test test))
             (ok (ert-test-result-expected-p test result))
             (problem (if ok "" (format "%S" (and (ert-test-result-with-condition-p result)
                                                  (ert-test-result-with-condition-condition result))))))
        (insert (json-encode `((name . ,(symbol-name (ert-test-name test))) (problem . ,problem)
                                (seconds . ,(- (float-time) began)))) "\n")))))

(unless (bound-and-true-p specs-interactive)
  (specs-run)
  (ignore-errors (eglot-shutdown-all))
  (kill-emacs 0))
;;; specs.el ends here
