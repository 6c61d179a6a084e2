;;; interactive.el --- A list that is open grows  -*- lexical-binding: t; -*-

;; Run by test_emacs.py in a terminal: emacs -nw -q -l specs.el is batch only, and a minibuffer needs a person.
;; Timers are the person here; what they saw goes to the output file as JSON lines.

;;; Code:

(defvar specs-interactive t "specs.el defines its helpers and runs nothing.")
(load (expand-file-name "specs.el" (file-name-directory load-file-name)))

(defun specs-note (name value)
  "Write that NAME was VALUE."
  (append-to-file (concat (json-encode `((name . ,name) (value . ,value))) "\n") nil
                  (getenv "ASTRAL_TEST_OUTPUT")))

(defun specs-completions ()
  "The candidates in *Completions*."
  (with-current-buffer "*Completions*"
    (let ((text (buffer-substring-no-properties (point-min) (point-max))))
      (seq-filter (lambda (fill) (string-search fill text))
                  '("width * height" "second_1" "third_1" "fourth_1")))))

(defun specs-in-minibuffer (work)
  "Call WORK in the minibuffer that is open."
  (with-selected-window (active-minibuffer-window) (funcall work)))

(defun specs-until (condition work)
  "Call WORK as soon as CONDITION holds."
  (if (funcall condition) (funcall work)
    (run-with-timer 0.05 nil #'specs-until condition work)))

(run-with-timer 90 nil #'kill-emacs 1)
(add-hook
 'emacs-startup-hook
 (lambda ()
   (specs-with specs-area specs-ours
     (specs-until #'active-minibuffer-window
                  (lambda ()
                    (specs-note "prompt" (specs-in-minibuffer #'minibuffer-prompt))
                    (specs-in-minibuffer #'minibuffer-completion-help)
                    (specs-note "first" (specs-completions))
                    (specs-until (lambda () (= 4 (length (specs-completions))))
                                 (lambda ()
                                   (specs-note "grown" (specs-completions))
                                   (specs-in-minibuffer
                                    (lambda ()
                                      (delete-minibuffer-contents)
                                      (insert "2")
                                      (run-with-timer 0 nil #'minibuffer-complete-and-exit)))))))
     (astral-lsp-fill)
     (specs-wait 60 (lambda () (string-search "return second_1" (buffer-string))))
     (specs-note "text" (buffer-string)))
   (ignore-errors (eglot-shutdown-all))
   (kill-emacs 0)))
;;; interactive.el ends here
